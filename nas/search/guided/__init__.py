"""The guided searcher: surrogates over structural features, expected hypervolume improvement."""
