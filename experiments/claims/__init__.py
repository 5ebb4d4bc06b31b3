"""What is said of L1 and L2, one claim each: the records it is judged by, its findings and its figure."""
