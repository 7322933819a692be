"""A plane, its estimator and subscribers over lines on a virtual clock: what people would get, in numbers."""
