"""Finding validators by their session key: signed records in a distributed table of Kademlia's kind."""
