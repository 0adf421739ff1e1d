"""Pure torch: the CLVQ-VAE and what it is compared with."""
