"""The bundle: the kernel, the programs, the node's disk and the images that the embedded backend runs."""
