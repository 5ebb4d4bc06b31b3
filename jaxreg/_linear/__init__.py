"""How the paths of linear models are solved."""
