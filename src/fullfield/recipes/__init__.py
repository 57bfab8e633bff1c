"""Results and jobs: configuration in, folder of artefacts out."""
