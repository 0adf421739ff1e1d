"""What made the bundled demo: a grammar of reviews, and the script that trains a small classifier on them.

Nothing here is installed. From the root of the repository, `python -m demo.reviews` writes the corpus that `clvq.demo`
reads, and `python -m demo.build` trains its model.
"""
