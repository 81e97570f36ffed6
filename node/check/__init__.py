"""Whether what a stopped node keeps on its disk is whole, in words for its operator; nothing is changed."""
