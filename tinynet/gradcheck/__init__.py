"""Gradient checks: is a hand-written backward the derivative of its forward?

A backward maps a cotangent r to the gradient of the number f = Σ r · y. That number can also be
differentiated without any backward, by central differences,

    ∂f/∂θᵢ ≈ ( f(θ + h eᵢ) - f(θ - h eᵢ) ) / 2h        error O(h²) + O(ε/h), about 1e-10 in float64

and the two must agree. Small tensors are checked element by element, large ones along random directions u,
where both sides are one number, g·u. The cotangent is random: with r = 1 the gradient of BatchNorm is zero
and any mistake in it invisible. Inputs have no ties and stay away from 0, where max and ReLU have kinks;
where a kink inside a deeper model is met all the same, a second, smaller h steps past it (a wrong backward
is wrong at every h).

A backward must write the gradients of the parameters, whatever it finds in their place. So it finds NaN
there, and in two runs before that random numbers, which show whether it never wrote, or added.

A wrong gradient is explained: its worst element, both values there, and the likely slip (slips.py).

    from tinynet.gradcheck import check_layer
    for check in check_layer(MyLayer(3), input_shape=(4,)): print(check)
"""

from tinynet.gradcheck.check import Check, check_layer, check_loss, check_model, gradient_error, tie_free

__all__ = ["Check", "check_layer", "check_loss", "check_model", "gradient_error", "tie_free"]
