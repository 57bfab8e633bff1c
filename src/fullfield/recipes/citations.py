"""BibTeX of the papers behind the methods."""

from collections.abc import Iterable

from fullfield._core import ConfigurationError


METHODS = ("jeffrey2021", "papamakarios2016", "durkan2019", "talts2018", "lemos2023", "sharief2026", "lewis2019", "jax2018")

BIBTEX = {
    "alsing2018": """@article{alsing2018,
  author  = {Alsing, Justin and Wandelt, Benjamin},
  title   = {Generalized massive optimal data compression},
  journal = {Monthly Notices of the Royal Astronomical Society: Letters},
  volume  = {476}, pages = {L60--L64}, year = {2018}, eprint = {1712.00012}, archiveprefix = {arXiv}
}""",
    "durkan2019": """@inproceedings{durkan2019,
  author    = {Durkan, Conor and Bekasov, Artur and Murray, Iain and Papamakarios, George},
  title     = {Neural spline flows},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {32}, year = {2019}, eprint = {1906.04032}, archiveprefix = {arXiv}
}""",
    "jax2018": """@software{jax2018,
  author = {Bradbury, James and Frostig, Roy and Hawkins, Peter and Johnson, Matthew James and Leary, Chris and
            Maclaurin, Dougal and Necula, George and Paszke, Adam and VanderPlas, Jake and Wanderman-Milne, Skye and
            Zhang, Qiao},
  title  = {{JAX}: composable transformations of {Python}+{NumPy} programs},
  url    = {https://github.com/jax-ml/jax}, year = {2018}
}""",
    "jeffrey2021": """@article{jeffrey2021,
  author  = {Jeffrey, Niall and Alsing, Justin and Lanusse, Fran{\\c c}ois},
  title   = {Likelihood-free inference with neural compression of {DES SV} weak lensing map statistics},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {501}, pages = {954--969}, year = {2021}, eprint = {2009.08459}, archiveprefix = {arXiv}
}""",
    "lanzieri2025": """@article{lanzieri2025,
  author  = {Lanzieri, Denise and Zeghal, Justine and Makinen, T. Lucas and Boucaud, Alexandre and Starck, Jean-Luc and
             Lanusse, Fran{\\c c}ois},
  title   = {Optimal neural summarisation for full-field weak lensing cosmological implicit inference},
  journal = {Astronomy \\& Astrophysics},
  volume  = {697}, pages = {A162}, year = {2025}, eprint = {2407.10877}, archiveprefix = {arXiv}
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
    "papamakarios2016": """@inproceedings{papamakarios2016,
  author    = {Papamakarios, George and Murray, Iain},
  title     = {Fast $\\epsilon$-free inference of simulation models with {Bayesian} conditional density estimation},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {29}, year = {2016}, eprint = {1605.06376}, archiveprefix = {arXiv}
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
    "xavier2016": """@article{xavier2016,
  author  = {Xavier, Henrique S. and Abdalla, Filipe B. and Joachimi, Benjamin},
  title   = {Improving lognormal models for cosmological fields},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {459}, pages = {3693--3710}, year = {2016}, eprint = {1602.08503}, archiveprefix = {arXiv}
}""",
    "zeghal2025": """@article{zeghal2025,
  author  = {Zeghal, Justine and Lanzieri, Denise and Lanusse, Fran{\\c c}ois and Boucaud, Alexandre and Louppe, Gilles and
             Aubourg, Eric and Bayer, Adrian E.},
  title   = {Simulation-based inference benchmark for weak lensing cosmology},
  journal = {Astronomy \\& Astrophysics},
  volume  = {699}, pages = {A327}, year = {2025}, eprint = {2409.17975}, archiveprefix = {arXiv}
}""",
}


def bibliography(keys: Iterable[str]) -> dict[str, str]:
    """BibTeX entries by key, of the pipeline's own methods and of `keys`, each once.

    Raises:
        ConfigurationError: a key is unknown.
    """
    wanted = dict.fromkeys((*keys, *METHODS))
    unknown = [key for key in wanted if key not in BIBTEX]
    if unknown:
        raise ConfigurationError("citations", expected=f"keys among {', '.join(BIBTEX)}", got=unknown[0])
    return {key: BIBTEX[key] for key in wanted}
