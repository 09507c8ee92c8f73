"""Networks of inverted residual blocks: MobileNetV2's family and NAS-Bench-Macro."""
