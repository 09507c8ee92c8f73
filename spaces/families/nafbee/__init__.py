"""NAFBee (Yamasaki et al. 2025): activation functions of VGG and BERT."""
