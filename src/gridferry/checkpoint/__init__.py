"""What gridferry remembers, kept in the target itself: any worker on any machine can go on from it."""
