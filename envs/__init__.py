"""Worlds to recommend in: populations who speak, their language, and Gymnasium's view of them.

Importing this package registers the worlds with Gymnasium.
"""

from instructrec.envs.rec_env import RecEnv
from instructrec.envs.spaces import SlateSpace
from instructrec.envs.tiny import tiny_world
from instructrec.envs.users import ScriptedUser, population_of, world_of
from instructrec.envs.vector_env import RecVectorEnv
from instructrec.envs.worlds import WORLDS, WorldSpec, make_world, register_file, register_world, register_worlds
from instructrec.envs.wrappers import (
    EncodeInstruction,
    FillRepeats,
    RankByQuery,
    VectorEncodeInstruction,
    VectorFillRepeats,
    VectorRankByQuery,
)

__all__ = [
    "WORLDS",
    "EncodeInstruction",
    "FillRepeats",
    "RankByQuery",
    "RecEnv",
    "RecVectorEnv",
    "ScriptedUser",
    "SlateSpace",
    "VectorEncodeInstruction",
    "VectorFillRepeats",
    "VectorRankByQuery",
    "WorldSpec",
    "make_world",
    "population_of",
    "register_file",
    "register_world",
    "register_worlds",
    "tiny_world",
    "world_of",
]

register_worlds()
