import numpy as np

from kerastune_recipes.heads.head import Head, logits


def test_a_head_may_look_at_squares_too():
    features = np.array([[1.0, 2.0], [3.0, 4.0]])
    linear = Head(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.5, -0.5]))
    squares = Head(np.vstack([linear.weights, 10 * linear.weights]), linear.bias)
    np.testing.assert_array_equal(logits(linear, features), [[1.5, 1.5], [3.5, 3.5]])
    np.testing.assert_array_equal(logits(squares, features), [[11.5, 41.5], [93.5, 163.5]])
