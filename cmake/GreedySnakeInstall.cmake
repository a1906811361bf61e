# Install and export: find_package(GreedySnake) gives GreedySnake::greedysnake.
