"""The paper's figures beside ours: the shape is compared, absolute times are context."""
