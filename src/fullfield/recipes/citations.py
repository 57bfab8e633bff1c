"""BibTeX of the papers behind the methods."""

from collections.abc import Iterable

from fullfield._core import ConfigurationError
from fullfield.recipes.configuration import RunConfiguration


# Real NVP is among them whatever the density: it is the compressor's companion in training.
METHODS = (
    "jeffrey2021", "dinh2017", "papamakarios2016", "talts2018", "modrak2023", "sailynoja2022", "hermans2022", "lemos2023",
    "sharief2026", "ledoit2004", "lewis2019", "phan2019", "kidger2021", "ward2023", "jax2018",
)  # fmt: skip
DENSITIES = {"real_nvp": ("dinh2017",), "spline_flow": ("durkan2019",)}

BIBTEX = {
    "akhmetzhanova2024": """@article{akhmetzhanova2024,
  author  = {Akhmetzhanova, Aizhan and Mishra-Sharma, Siddharth and Dvorkin, Cora},
  title   = {Data compression and inference in cosmology with self-supervised machine learning},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {527}, pages = {7459}, year = {2024}, eprint = {2308.09751}, archiveprefix = {arXiv}
}""",
    "bardes2022": """@inproceedings{bardes2022,
  author    = {Bardes, Adrien and Ponce, Jean and LeCun, Yann},
  title     = {{VICReg}: Variance-invariance-covariance regularization for self-supervised learning},
  booktitle = {International Conference on Learning Representations},
  year      = {2022}, eprint = {2105.04906}, archiveprefix = {arXiv}
}""",
    "szekely2007": """@article{szekely2007,
  author  = {Sz{\\'e}kely, G{\\'a}bor J. and Rizzo, Maria L. and Bakirov, Nail K.},
  title   = {Measuring and testing dependence by correlation of distances},
  journal = {The Annals of Statistics},
  volume  = {35}, pages = {2769}, year = {2007}, eprint = {0803.4101}, archiveprefix = {arXiv}
}""",
    "zeghal2025bridging": """@misc{zeghal2025bridging,
  author = {Zeghal, Justine and others},
  title  = {Bridging simulators with conditional optimal transport},
  year   = {2025}, eprint = {2510.24631}, archiveprefix = {arXiv}
}""",
    "kerrigan2024": """@misc{kerrigan2024,
  author = {Kerrigan, Gavin and Migliorini, Giosue and Smyth, Padhraic},
  title  = {Dynamic conditional optimal transport through simulation-free flows},
  year   = {2024}, eprint = {2404.04240}, archiveprefix = {arXiv}
}""",
    "tong2024": """@article{tong2024,
  author  = {Tong, Alexander and others},
  title   = {Improving and generalizing flow-based generative models with minibatch optimal transport},
  journal = {Transactions on Machine Learning Research},
  year    = {2024}, eprint = {2302.00482}, archiveprefix = {arXiv}
}""",
    "rampf2024": """@misc{rampf2024,
  author = {Rampf, Cornelius and List, Florian and Hahn, Oliver},
  title  = {{BullFrog}: Multi-step perturbation theory as a time integrator for cosmological simulations},
  year   = {2024}, eprint = {2409.19049}, archiveprefix = {arXiv}
}""",
    "lemos2024": """@misc{lemos2024,
  author = {Lemos, Pablo and others},
  title  = {{PQMass}: Probabilistic assessment of the quality of generative models using probability mass estimation},
  year   = {2024}, eprint = {2402.04355}, archiveprefix = {arXiv}
}""",
    "belghazi2018": """@inproceedings{belghazi2018,
  author    = {Belghazi, Mohamed Ishmael and Baratin, Aristide and Rajeswar, Sai and Ozair, Sherjil and Bengio, Yoshua and
               Courville, Aaron and Hjelm, R. Devon},
  title     = {Mutual information neural estimation},
  booktitle = {International Conference on Machine Learning},
  year      = {2018}, eprint = {1801.04062}, archiveprefix = {arXiv}
}""",
    "song2020": """@inproceedings{song2020,
  author    = {Song, Jiaming and Ermon, Stefano},
  title     = {Understanding the limitations of variational mutual information estimators},
  booktitle = {International Conference on Learning Representations},
  year      = {2020}, eprint = {1910.06222}, archiveprefix = {arXiv}
}""",
    "remy2026": """@misc{remy2026,
  author = {Remy, Benjamin and Chang, Chihway and Willett, Rebecca},
  title  = {Joint inference of weak lensing convergence map and cosmology with diffusion models},
  year   = {2026}, eprint = {2606.31988}, archiveprefix = {arXiv}
}""",
    "li2025": """@misc{li2025,
  author = {Li, Tianhong and He, Kaiming},
  title  = {Back to basics: Let denoising generative models denoise},
  year   = {2025}, eprint = {2511.13720}, archiveprefix = {arXiv}
}""",
    "lu2022": """@misc{lu2022,
  author = {Lu, Cheng and Zhou, Yuhao and Bao, Fan and Chen, Jianfei and Li, Chongxuan and Zhu, Jun},
  title  = {{DPM-Solver++}: Fast solver for guided sampling of diffusion probabilistic models},
  year   = {2022}, eprint = {2211.01095}, archiveprefix = {arXiv}
}""",
    "wandelt2004": """@article{wandelt2004,
  author  = {Wandelt, Benjamin D. and Larson, David L. and Lakshminarayanan, Arun},
  title   = {Global, exact cosmic microwave background data analysis using {Gibbs} sampling},
  journal = {Physical Review D},
  volume  = {70}, pages = {083511}, year = {2004}, eprint = {astro-ph/0310080}, archiveprefix = {arXiv}
}""",
    "kaiser1993": """@article{kaiser1993,
  author  = {Kaiser, Nick and Squires, Gordon},
  title   = {Mapping the dark matter with weak gravitational lensing},
  journal = {The Astrophysical Journal},
  volume  = {404}, pages = {441--450}, year = {1993},
  url     = {https://doi.org/10.1086/172297}
}""",
    "robnik2025": """@misc{robnik2025,
  author = {Robnik, Jakob and Cohn-Gordon, Reuben and Seljak, Uro\\v{s}},
  title  = {Metropolis adjusted microcanonical {Hamiltonian Monte Carlo}},
  year   = {2025}, eprint = {2503.01707}, archiveprefix = {arXiv}
}""",
    "schrabback2010": """@article{schrabback2010,
  author  = {Schrabback, T. and others},
  title   = {Evidence of the accelerated expansion of the {Universe} from weak lensing tomography with {COSMOS}},
  journal = {Astronomy and Astrophysics},
  volume  = {516}, pages = {A63}, year = {2010}, eprint = {0911.0053}, archiveprefix = {arXiv}
}""",
    "finoguenov2007": """@article{finoguenov2007,
  author  = {Finoguenov, A. and others},
  title   = {The {XMM-Newton} wide-field survey in the {COSMOS} field: Statistical properties of clusters of galaxies},
  journal = {The Astrophysical Journal Supplement Series},
  volume  = {172}, pages = {182--195}, year = {2007}, eprint = {astro-ph/0612360}, archiveprefix = {arXiv}
}""",
    "remy2023": """@article{remy2023,
  author  = {Remy, B. and Lanusse, F. and Jeffrey, N. and Liu, J. and Starck, J.-L. and Osato, K. and Schrabback, T.},
  title   = {Probabilistic mass-mapping with neural score estimation},
  journal = {Astronomy and Astrophysics},
  volume  = {672}, pages = {A51}, year = {2023}, eprint = {2201.05561}, archiveprefix = {arXiv}
}""",
    "alsing2018": """@article{alsing2018,
  author  = {Alsing, Justin and Wandelt, Benjamin},
  title   = {Generalized massive optimal data compression},
  journal = {Monthly Notices of the Royal Astronomical Society: Letters},
  volume  = {476}, pages = {L60--L64}, year = {2018}, eprint = {1712.00012}, archiveprefix = {arXiv}
}""",
    "charnock2018": """@article{charnock2018,
  author  = {Charnock, Tom and Lavaux, Guilhem and Wandelt, Benjamin D.},
  title   = {Automatic physical inference with information maximizing neural networks},
  journal = {Physical Review D},
  volume  = {97}, pages = {083004}, year = {2018}, eprint = {1802.03537}, archiveprefix = {arXiv}
}""",
    "chen2020": """@inproceedings{chen2020,
  author    = {Chen, Ting and Kornblith, Simon and Norouzi, Mohammad and Hinton, Geoffrey},
  title     = {A simple framework for contrastive learning of visual representations},
  booktitle = {International Conference on Machine Learning},
  year      = {2020}, eprint = {2002.05709}, archiveprefix = {arXiv}
}""",
    "he2016": """@inproceedings{he2016,
  author    = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title     = {Deep residual learning for image recognition},
  booktitle = {Conference on Computer Vision and Pattern Recognition},
  year      = {2016}, eprint = {1512.03385}, archiveprefix = {arXiv}
}""",
    "villaescusa2022": """@article{villaescusa2022,
  author  = {Villaescusa-Navarro, Francisco and Genel, Shy and Angl{\\'e}s-Alc{\\'a}zar, Daniel and others},
  title   = {The {CAMELS} multifield dataset: learning the Universe's fundamental parameters with artificial intelligence},
  journal = {The Astrophysical Journal Supplement Series},
  volume  = {259}, pages = {61}, year = {2022}, eprint = {2109.10915}, archiveprefix = {arXiv}
}""",
    "desc2018": """@misc{desc2018,
  author = {{LSST Dark Energy Science Collaboration}},
  title  = {The {LSST} {Dark Energy Science Collaboration} ({DESC}) science requirements document},
  year   = {2018}, eprint = {1809.01669}, archiveprefix = {arXiv}
}""",
    "dinh2017": """@inproceedings{dinh2017,
  author    = {Dinh, Laurent and Sohl-Dickstein, Jascha and Bengio, Samy},
  title     = {Density estimation using {Real} {NVP}},
  booktitle = {International Conference on Learning Representations},
  year      = {2017}, eprint = {1605.08803}, archiveprefix = {arXiv}
}""",
    "durkan2019": """@inproceedings{durkan2019,
  author    = {Durkan, Conor and Bekasov, Artur and Murray, Iain and Papamakarios, George},
  title     = {Neural spline flows},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {32}, year = {2019}, eprint = {1906.04032}, archiveprefix = {arXiv}
}""",
    "hermans2022": """@article{hermans2022,
  author  = {Hermans, Joeri and Delaunoy, Arnaud and Rozet, Fran{\\c c}ois and Wehenkel, Antoine and Begy, Volodimir and
             Louppe, Gilles},
  title   = {A trust crisis in simulation-based inference? {Your} posterior approximations can be unfaithful},
  journal = {Transactions on Machine Learning Research},
  year    = {2022}, eprint = {2110.06581}, archiveprefix = {arXiv}
}""",
    "hotelling1936": """@article{hotelling1936,
  author  = {Hotelling, Harold},
  title   = {Relations between two sets of variates},
  journal = {Biometrika},
  volume  = {28}, pages = {321--377}, year = {1936}, url = {https://doi.org/10.1093/biomet/28.3-4.321}
}""",
    "jax2018": """@software{jax2018,
  author = {Bradbury, James and Frostig, Roy and Hawkins, Peter and Johnson, Matthew James and Leary, Chris and
            Maclaurin, Dougal and Necula, George and Paszke, Adam and VanderPlas, Jake and Wanderman-Milne, Skye and
            Zhang, Qiao},
  title  = {{JAX}: composable transformations of {Python}+{NumPy} programs},
  url    = {https://github.com/jax-ml/jax}, year = {2018}
}""",
    "jeffrey2020": """@misc{jeffrey2020,
  author = {Jeffrey, Niall and Wandelt, Benjamin D.},
  title  = {Solving high-dimensional parameter inference: marginal posterior densities and moment networks},
  year   = {2020}, eprint = {2011.05991}, archiveprefix = {arXiv}
}""",
    "jeffrey2021": """@article{jeffrey2021,
  author  = {Jeffrey, Niall and Alsing, Justin and Lanusse, Fran{\\c c}ois},
  title   = {Likelihood-free inference with neural compression of {DES SV} weak lensing map statistics},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {501}, pages = {954--969}, year = {2021}, eprint = {2009.08459}, archiveprefix = {arXiv}
}""",
    "kidger2021": """@misc{kidger2021,
  author = {Kidger, Patrick and Garcia, Cristian},
  title  = {{Equinox}: neural networks in {JAX} via callable {PyTrees} and filtered transformations},
  year   = {2021}, eprint = {2111.00254}, archiveprefix = {arXiv}
}""",
    "lanzieri2025": """@article{lanzieri2025,
  author  = {Lanzieri, Denise and Zeghal, Justine and Makinen, T. Lucas and Boucaud, Alexandre and Starck, Jean-Luc and
             Lanusse, Fran{\\c c}ois},
  title   = {Optimal neural summarisation for full-field weak lensing cosmological implicit inference},
  journal = {Astronomy \\& Astrophysics},
  volume  = {697}, pages = {A162}, year = {2025}, eprint = {2407.10877}, archiveprefix = {arXiv}
}""",
    "ledoit2004": """@article{ledoit2004,
  author  = {Ledoit, Olivier and Wolf, Michael},
  title   = {A well-conditioned estimator for large-dimensional covariance matrices},
  journal = {Journal of Multivariate Analysis},
  volume  = {88}, pages = {365--411}, year = {2004}, url = {https://doi.org/10.1016/S0047-259X(03)00096-4}
}""",
    "lemos2023": """@inproceedings{lemos2023,
  author    = {Lemos, Pablo and Coogan, Adam and Hezaveh, Yashar and Perreault-Levasseur, Laurence},
  title     = {Sampling-based accuracy testing of posterior estimators for general inference},
  booktitle = {International Conference on Machine Learning},
  year      = {2023}, eprint = {2302.03026}, archiveprefix = {arXiv}
}""",
    "lewis2019": """@misc{lewis2019,
  author = {Lewis, Antony},
  title  = {{GetDist}: a {Python} package for analysing {Monte Carlo} samples},
  year   = {2019}, eprint = {1910.13970}, archiveprefix = {arXiv}
}""",
    "lueckmann2021": """@inproceedings{lueckmann2021,
  author    = {Lueckmann, Jan-Matthis and Boelts, Jan and Greenberg, David and Gon{\\c c}alves, Pedro and Macke, Jakob},
  title     = {Benchmarking simulation-based inference},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year      = {2021}, eprint = {2101.04653}, archiveprefix = {arXiv}
}""",
    "modrak2023": """@misc{modrak2023,
  author = {Modr{\\'a}k, Martin and Moon, Angie H. and Kim, Shinyoung and B{\\"u}rkner, Paul-Christian and Huurre, Niko and
            Faltejskov{\\'a}, Kate{\\v r}ina and Gelman, Andrew and Vehtari, Aki},
  title  = {Simulation-based calibration checking for {Bayesian} computation: the choice of test quantities shapes sensitivity},
  year   = {2022}, eprint = {2211.02383}, archiveprefix = {arXiv}
}""",
    "oord2018": """@misc{oord2018,
  author = {van den Oord, Aaron and Li, Yazhe and Vinyals, Oriol},
  title  = {Representation learning with contrastive predictive coding},
  year   = {2018}, eprint = {1807.03748}, archiveprefix = {arXiv}
}""",
    "papamakarios2016": """@inproceedings{papamakarios2016,
  author    = {Papamakarios, George and Murray, Iain},
  title     = {Fast $\\epsilon$-free inference of simulation models with {Bayesian} conditional density estimation},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {29}, year = {2016}, eprint = {1605.06376}, archiveprefix = {arXiv}
}""",
    "phan2019": """@misc{phan2019,
  author = {Phan, Du and Pradhan, Neeraj and Jankowiak, Martin},
  title  = {Composable effects for flexible and accelerated probabilistic programming in {NumPyro}},
  year   = {2019}, eprint = {1912.11554}, archiveprefix = {arXiv}
}""",
    "sailynoja2022": """@article{sailynoja2022,
  author  = {S{\\"a}ilynoja, Teemu and B{\\"u}rkner, Paul-Christian and Vehtari, Aki},
  title   = {Graphical test for discrete uniformity and its applications in goodness-of-fit evaluation and multiple sample
             comparison},
  journal = {Statistics and Computing},
  volume  = {32}, pages = {32}, year = {2022}, eprint = {2103.10522}, archiveprefix = {arXiv}
}""",
    "sharief2026": """@misc{sharief2026,
  author = {Sharief, Sammy and Zeghal, Justine and Missael Barco, Gabriel and Lemos, Pablo and Hezaveh, Yashar and
            Perreault-Levasseur, Laurence},
  title  = {{MIRA}: a score for conditional distribution accuracy and model comparison},
  year   = {2026}, eprint = {2605.02014}, archiveprefix = {arXiv}
}""",
    "smail1994": """@article{smail1994,
  author  = {Smail, Ian and Ellis, Richard S. and Fitchett, Michael J.},
  title   = {Gravitational lensing of distant field galaxies by rich clusters. {I.} {Faint} galaxy redshift distributions},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {270}, pages = {245}, year = {1994}, url = {https://ui.adsabs.harvard.edu/abs/1994MNRAS.270..245S}
}""",
    "takahashi2012": """@article{takahashi2012,
  author  = {Takahashi, Ryuichi and Sato, Masanori and Nishimichi, Takahiro and Taruya, Atsushi and Oguri, Masamune},
  title   = {Revising the {Halofit} model for the nonlinear matter power spectrum},
  journal = {The Astrophysical Journal},
  volume  = {761}, pages = {152}, year = {2012}, eprint = {1208.2701}, archiveprefix = {arXiv}
}""",
    "eisenstein1998": """@article{eisenstein1998,
  author  = {Eisenstein, Daniel J. and Hu, Wayne},
  title   = {Baryonic features in the matter transfer function},
  journal = {The Astrophysical Journal},
  volume  = {496}, pages = {605--614}, year = {1998}, eprint = {astro-ph/9709112}, archiveprefix = {arXiv}
}""",
    "talts2018": """@misc{talts2018,
  author = {Talts, Sean and Betancourt, Michael and Simpson, Daniel and Vehtari, Aki and Gelman, Andrew},
  title  = {Validating {Bayesian} inference algorithms with simulation-based calibration},
  year   = {2018}, eprint = {1804.06788}, archiveprefix = {arXiv}
}""",
    "ward2023": """@software{ward2023,
  author = {Ward, Daniel},
  title  = {{FlowJAX}: distributions and normalizing flows in {JAX}},
  url    = {https://github.com/danielward27/flowjax}, year = {2023}
}""",
    "xavier2016": """@article{xavier2016,
  author  = {Xavier, Henrique S. and Abdalla, Filipe B. and Joachimi, Benjamin},
  title   = {Improving lognormal models for cosmological fields},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {459}, pages = {3693--3710}, year = {2016}, eprint = {1602.08503}, archiveprefix = {arXiv}
}""",
    "zeghal2022": """@misc{zeghal2022,
  author = {Zeghal, Justine and Lanusse, Fran{\\c c}ois and Boucaud, Alexandre and Remy, Benjamin and Aubourg, Eric},
  title  = {Neural posterior estimation with differentiable simulators},
  year   = {2022}, eprint = {2207.05636}, archiveprefix = {arXiv}
}""",
    "zeghal2025": """@article{zeghal2025,
  author  = {Zeghal, Justine and Lanzieri, Denise and Lanusse, Fran{\\c c}ois and Boucaud, Alexandre and Louppe, Gilles and
             Aubourg, Eric and Bayer, Adrian E.},
  title   = {Simulation-based inference benchmark for weak lensing cosmology},
  journal = {Astronomy \\& Astrophysics},
  volume  = {699}, pages = {A327}, year = {2025}, eprint = {2409.17975}, archiveprefix = {arXiv}
}""",
    "heavens2000": """@article{heavens2000,
  author  = {Heavens, Alan F. and Jimenez, Raul and Lahav, Ofer},
  title   = {Massive lossless data compression and multiple parameter estimation from galaxy spectra},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {317}, pages = {965--972}, year = {2000}, eprint = {astro-ph/9911102}, archiveprefix = {arXiv}
}""",
    "millea2022": """@article{millea2022,
  author  = {Millea, Marius and Seljak, Uro{\\v s}},
  title   = {Marginal unbiased score expansion and application to {CMB} lensing},
  journal = {Physical Review D},
  volume  = {105}, pages = {103531}, year = {2022}, eprint = {2112.09354}, archiveprefix = {arXiv}
}""",
    "robnik2023": """@article{robnik2023,
  author  = {Robnik, Jakob and De Luca, G. Bruno and Silverstein, Eva and Seljak, Uro{\\v s}},
  title   = {Microcanonical {Hamiltonian} {Monte} {Carlo}},
  journal = {Journal of Machine Learning Research},
  volume  = {24}, number = {311}, pages = {1--34}, year = {2023}, eprint = {2212.08549}, archiveprefix = {arXiv}
}""",
    "hoffman2014": """@article{hoffman2014,
  author  = {Hoffman, Matthew D. and Gelman, Andrew},
  title   = {The {No-U-Turn} sampler: adaptively setting path lengths in {Hamiltonian} {Monte} {Carlo}},
  journal = {Journal of Machine Learning Research},
  volume  = {15}, pages = {1593--1623}, year = {2014}, eprint = {1111.4246}, archiveprefix = {arXiv}
}""",
    "cabezas2024": """@misc{cabezas2024,
  author = {Cabezas, Alberto and Corenflos, Adrien and Lao, Junpeng and Louf, R{\\'e}mi},
  title  = {{BlackJAX}: composable {Bayesian} inference in {JAX}},
  year   = {2024}, eprint = {2402.10797}, archiveprefix = {arXiv}
}""",
    "schneider2015": """@article{schneider2015,
  author  = {Schneider, Aurel and Teyssier, Romain},
  title   = {A new method to quantify the effects of baryons on the matter power spectrum},
  journal = {Journal of Cosmology and Astroparticle Physics},
  volume  = {12}, pages = {049}, year = {2015}, eprint = {1510.06034}, archiveprefix = {arXiv}
}""",
    "vandaalen2020": """@article{vandaalen2020,
  author  = {van Daalen, Marcel P. and McCarthy, Ian G. and Schaye, Joop},
  title   = {Exploring the effects of galaxy formation on matter clustering through a library of simulation power spectra},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {491}, pages = {2424}, year = {2020}, eprint = {1906.00968}, archiveprefix = {arXiv}
}""",
    "papamakarios2017": """@inproceedings{papamakarios2017,
  author    = {Papamakarios, George and Pavlakou, Theo and Murray, Iain},
  title     = {Masked autoregressive flow for density estimation},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2017}, eprint = {1705.07057}, archiveprefix = {arXiv}
}""",
    "papamakarios2019": """@inproceedings{papamakarios2019,
  author    = {Papamakarios, George and Sterratt, David C. and Murray, Iain},
  title     = {Sequential neural likelihood: fast likelihood-free inference with autoregressive flows},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year      = {2019}, eprint = {1805.07226}, archiveprefix = {arXiv}
}""",
    "hermans2020": """@inproceedings{hermans2020,
  author    = {Hermans, Joeri and Begy, Volodimir and Louppe, Gilles},
  title     = {Likelihood-free {MCMC} with amortized approximate ratio estimators},
  booktitle = {International Conference on Machine Learning},
  year      = {2020}, eprint = {1903.04057}, archiveprefix = {arXiv}
}""",
    "deistler2022": """@inproceedings{deistler2022,
  author    = {Deistler, Michael and Goncalves, Pedro J. and Macke, Jakob H.},
  title     = {Truncated proposals for scalable and hassle-free simulation-based inference},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {35}, year = {2022}, eprint = {2210.04815}, archiveprefix = {arXiv}
}""",
    "wildberger2023": """@inproceedings{wildberger2023,
  author    = {Wildberger, Jonas and Dax, Maximilian and Buchholz, Simon and Green, Stephen R. and Macke, Jakob H. and
               Sch{\\"o}lkopf, Bernhard},
  title     = {Flow matching for scalable simulation-based inference},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {36}, year = {2023}, eprint = {2305.17161}, archiveprefix = {arXiv}
}""",
    "lopezpaz2017": """@inproceedings{lopezpaz2017,
  author    = {Lopez-Paz, David and Oquab, Maxime},
  title     = {Revisiting classifier two-sample tests},
  booktitle = {International Conference on Learning Representations},
  year      = {2017}, eprint = {1610.06545}, archiveprefix = {arXiv}
}""",
    "vehtari2021": """@article{vehtari2021,
  author  = {Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and B{\\"u}rkner, Paul-Christian},
  title   = {Rank-normalization, folding, and localization: an improved {R-hat} for assessing convergence of {MCMC}},
  journal = {Bayesian Analysis},
  volume  = {16}, pages = {667--718}, year = {2021}, eprint = {1903.08008}, archiveprefix = {arXiv}
}""",
}


def methods(configuration: RunConfiguration) -> tuple[str, ...]:
    """Keys of the methods that every run with these settings uses, whatever its model."""
    return (*DENSITIES[configuration.posterior.density], *METHODS)


def bibliography(keys: Iterable[str]) -> dict[str, str]:
    """BibTeX entries by key, each once.

    Raises:
        ConfigurationError: a key is unknown.
    """
    wanted = dict.fromkeys(keys)
    unknown = [key for key in wanted if key not in BIBTEX]
    if unknown:
        raise ConfigurationError("citations", expected=f"keys among {', '.join(BIBTEX)}", got=unknown[0])
    return {key: BIBTEX[key] for key in wanted}
