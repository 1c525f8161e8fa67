"""Training networks on a data set, and the sources that methods take networks from."""
