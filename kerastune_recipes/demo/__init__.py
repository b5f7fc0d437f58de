"""The demonstration: handwritten digits, DemoNet, and how DemoNet was pretrained."""
