"""Movies: what a render job may ask for, and what is wrong when it does not (SEEDS PF). Pure."""

from hookline.core.movie.definition import Movie, movie_components, movie_schema
from hookline.core.movie.read import element_paths, fade_of, read_movie, shown_seconds, transition_of

__all__ = [
    "Movie",
    "element_paths",
    "fade_of",
    "movie_components",
    "movie_schema",
    "read_movie",
    "shown_seconds",
    "transition_of",
]
