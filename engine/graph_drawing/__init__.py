"""An architecture as a picture: nodes, edges and labels placed on a plane."""
