"""The table of solved heads: key, name in words, what its strength is."""

# Each solved head in words, and what its strength is.
HEADS = {
    "logistic_regression": ("logistic regression", "L2 strength"),
    "linear_svm": ("linear SVM", "L2 strength"),
    "naive_bayes": ("Gaussian naive Bayes", "variance smoothing"),
    "lda": ("linear discriminant analysis", "shrinkage"),
    "source_classifier": ("logistic regression from the source classifier on", "L2 strength"),
}
