/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the fuzzer share: random numbers that a seed repeats, and what its processes tell each other. */
#ifndef FUZZ_H
#define FUZZ_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 4
#define OPCODES 64

/* Numbers from a seed (splitmix64). */
struct rng {
	uint64_t state;
};

static inline uint64_t rnd(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static inline uint32_t below(struct rng *r, uint32_t n)
{
	return rnd(r) % n;
}

/* True once in n times. */
static inline bool once_in(struct rng *r, uint32_t n)
{
	return n && below(r, n) == 0;
}

static inline struct rng rng_of(uint64_t seed, uint64_t a, uint64_t b)
{
	struct rng r = { seed * 0x9e3779b97f4a7c15 ^ a * 0xc2b2ae3d27d4eb4f ^ b * 0x165667b19e3779f9 };

	rnd(&r);
	return r;
}

/* Numbers that programs get wrong. */
static inline uint64_t odd_number(struct rng *r)
{
	static const uint64_t odd[] = {
		0, 1, 2, 7, 8, 24, 128, 4095, 4096, 4097, 65535, 65536, 1 << 20, INT32_MAX, 1u << 31, UINT32_MAX,
		1ull << 32, INT64_MAX - 4095, INT64_MAX, 1ull << 63, UINT64_MAX - 4095, UINT64_MAX,
	};

	return once_in(r, 5) ? rnd(r) : odd[below(r, sizeof(odd) / sizeof(*odd))];
}

static inline double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* A process that makes system calls; it writes what it is at, its parent reads it. */
struct worker {
	volatile pid_t pid;
	volatile uint64_t steps;
	const char *volatile step;	/* the same address in all processes: they are forks */
};

/* In memory that all processes share. */
struct fuzz {
	uint64_t seed;
	uint32_t session;
	volatile bool fail_memory;	/* the load's tasks ask for failing allocations */
	volatile bool load_ends;
	struct worker workers[WORKERS];
	/* The server's. */
	volatile bool straight;		/* no more mistakes, nothing is held back */
	volatile bool silent;		/* no more answers */
	volatile uint64_t replies, bent, refused, missing, notified, noted;
	volatile uint32_t seen[OPCODES];
	volatile uint64_t mistakes[32];
};

#endif
