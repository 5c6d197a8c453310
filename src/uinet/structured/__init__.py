"""What the hosts on trio and on anyio have in common, in the words that both libraries use."""
