"""Linear heads on cached features.

A solved head is a linear probe: multinomial logistic regression (or another linear classifier) on cached features, L2
strength chosen by cross-validation, written back as the weights of a Dense layer.
"""
