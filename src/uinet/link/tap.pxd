# compiled as it is: a few calls of its methods are made for every batch of frames
