// Which shuffle, vote or reduction: the numbers kernels and runtime call them by.
#pragma once

enum MinizfShuffle : int { MINIZF_SHUFFLE_AT, MINIZF_SHUFFLE_UP, MINIZF_SHUFFLE_DOWN, MINIZF_SHUFFLE_XOR };
enum MinizfVote : int { MINIZF_VOTE_BALLOT, MINIZF_VOTE_ALL, MINIZF_VOTE_ANY };
enum MinizfReduce : int { MINIZF_REDUCE_ADD, MINIZF_REDUCE_MIN, MINIZF_REDUCE_MAX };
