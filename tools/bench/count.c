// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU plugin that counts the guest's instructions between marks, by where they lie:
 *
 *   -plugin count.so,out=FILE[,profile=FILE][,spin=START:END]...[,help=START:END]...[,tick=START:END]
 *
 * A mark is an 8-byte NOP that a user program executes (guest/measure.c): one form begins, one ends. Each writes a line
 * "begin|end NANOSECONDS USER KERNEL MODULE" with the sums over all CPUs so far. A translated block is counted as a
 * whole when it is entered, so one that a page fault cuts short counts a little too much, and a repeated string
 * instruction counts once. What lies in one of the ranges "spin" is not counted: there a CPU waits for another, and how long
 * it takes is for the host to say. Nor is what lies in a range "help" while it is called from there, as locks are. Nor the handling
 * of timer interrupts, from the function at START of "tick" to the one at END: how many come is a matter of the host's time.
 *
 * With profile=FILE (which has timer interrupts in it) every end also writes how often each instruction of the kernel ran since the begin: "ADDRESS COUNT",
 * then an empty line. Blocks of the core kernel are charged to their first instruction.
 *
 * What is used of QEMU's plugin interface (version 7, QEMU 11.1) is declared here.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;

typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} qemu_plugin_u64;

enum { INLINE_ADD_U64, INLINE_STORE_U64 };
enum { CB_NO_REGS };
enum { COND_EQ = 2 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(struct qemu_plugin_tb *tb, void *data), void *data);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, int op, qemu_plugin_u64 entry, uint64_t n);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*cb)(unsigned int cpu, void *data), int flags, void *data);
void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb, void (*cb)(unsigned int cpu, void *data), int flags,
					       int cond, qemu_plugin_u64 entry, uint64_t than, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn, int op, qemu_plugin_u64 entry,
							 uint64_t n);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*cb)(unsigned int cpu, void *data),
					    int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest, size_t len);
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score, unsigned int cpu);
uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 entry);
int qemu_plugin_num_vcpus(void);

EXPORT int qemu_plugin_version = 7;

/* Where a kernel without KASLR puts its modules. */
#define MODULES 0xffffffffa0000000ull
/* Programs linked at a fixed place, as measure is, are below. */
#define FIXED 0x10000000ull
/* What a profile covers: so much text of the kernel in steps of 16 bytes, and so much of the modules in steps of 4. */
#define TEXT_START 0xffffffff81000000ull
#define TEXT (16ull << 20)
#define MODULE_TEXT (8ull << 20)
#define TEXT_SLOTS (TEXT / 16)
#define SLOTS (TEXT_SLOTS + MODULE_TEXT / 4)

enum { USER, CORE, MODULE, SORTS };

struct counts {
	uint64_t sort[SORTS];
	/* The CPU is in a range "spin", or was when it came into a range "help". */
	uint64_t spins;
	/* The CPU handles a timer interrupt, and what was counted when that began. */
	uint64_t ticks, before[SORTS];
};

#define MAX_SPINS 16

static struct ranges {
	struct {
		uint64_t start, end;
	} of[MAX_SPINS];
	int n;
} spins, helps, tick;

static struct qemu_plugin_scoreboard *counts, *profile;
static FILE *out, *profile_out;
/* Two CPUs can be at a mark at once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* nopl N(%rax,%rax,1) with these displacements. */
static const uint8_t MARKS[2][8] = {
	{ 0x0f, 0x1f, 0x84, 0x00, 0x62, 0x67, 0x6e, 0x5a },
	{ 0x0f, 0x1f, 0x84, 0x00, 0x65, 0x6e, 0x64, 0x5a },
};

static qemu_plugin_u64 count_of(int sort)
{
	return (qemu_plugin_u64){ counts, sort * sizeof(uint64_t) };
}

static bool slot_of(uint64_t addr, size_t *slot)
{
	if (addr >= MODULES && addr < MODULES + MODULE_TEXT)
		*slot = TEXT_SLOTS + (addr - MODULES) / 4;
	else if (addr >= TEXT_START && addr < TEXT_START + TEXT)
		*slot = (addr - TEXT_START) / 16;
	else
		return false;
	return true;
}

static uint64_t addr_of(size_t slot)
{
	return slot < TEXT_SLOTS ? TEXT_START + slot * 16 : MODULES + (slot - TEXT_SLOTS) * 4;
}

static bool in(const struct ranges *ranges, uint64_t addr)
{
	for (int i = 0; i < ranges->n; i++)
		if (addr >= ranges->of[i].start && addr < ranges->of[i].end)
			return true;
	return false;
}

static bool add_range(struct ranges *ranges, const char *text)
{
	if (ranges->n == MAX_SPINS ||
	    sscanf(text, "%" SCNx64 ":%" SCNx64, &ranges->of[ranges->n].start, &ranges->of[ranges->n].end) != 2)
		return false;
	ranges->n++;
	return true;
}

static void forget_profile(void)
{
	for (int cpu = 0; cpu < qemu_plugin_num_vcpus(); cpu++)
		memset(qemu_plugin_scoreboard_find(profile, cpu), 0, SLOTS * sizeof(uint64_t));
}

static void write_profile(void)
{
	for (size_t slot = 0; slot < SLOTS; slot++) {
		uint64_t n = qemu_plugin_u64_sum((qemu_plugin_u64){ profile, slot * sizeof(uint64_t) });

		if (n)
			fprintf(profile_out, "%" PRIx64 " %" PRIu64 "\n", addr_of(slot), n);
	}
	fputc('\n', profile_out);
	fflush(profile_out);
}

static void mark(unsigned int cpu, void *data)
{
	uint64_t sum[SORTS];
	struct timespec now;
	bool end = data;

	pthread_mutex_lock(&lock);
	clock_gettime(CLOCK_MONOTONIC, &now);
	for (int sort = 0; sort < SORTS; sort++)
		sum[sort] = qemu_plugin_u64_sum(count_of(sort));
	fprintf(out, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", end ? "end" : "begin",
		(uint64_t)now.tv_sec * 1000000000 + now.tv_nsec, sum[USER], sum[CORE], sum[MODULE]);
	fflush(out);
	if (profile && end)
		write_profile();
	else if (profile)
		forget_profile();
	pthread_mutex_unlock(&lock);
}

/* A block of a range "help", of the core kernel. */
struct block {
	size_t slot;
	uint64_t n;
};

/* It was called by who turns in a loop: takes back what was counted. */
static void take_back(unsigned int cpu, void *data)
{
	const struct block *block = data;
	struct counts *c = qemu_plugin_scoreboard_find(counts, cpu);

	c->sort[CORE] -= block->n;
	if (profile)
		((uint64_t *)qemu_plugin_scoreboard_find(profile, cpu))[block->slot] -= block->n;
}

static void tick_begins(unsigned int cpu, void *data)
{
	struct counts *c = qemu_plugin_scoreboard_find(counts, cpu);

	memcpy(c->before, c->sort, sizeof(c->before));
	c->ticks = 1;
}

static void tick_ends(unsigned int cpu, void *data)
{
	struct counts *c = qemu_plugin_scoreboard_find(counts, cpu);

	memcpy(c->sort, c->before, sizeof(c->before));
	c->ticks = 0;
}

static void profile_insn(struct qemu_plugin_insn *insn, uint64_t n)
{
	size_t slot;

	if (slot_of(qemu_plugin_insn_vaddr(insn), &slot))
		qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
			insn, INLINE_ADD_U64, (qemu_plugin_u64){ profile, slot * sizeof(uint64_t) }, n);
}

static void translated(struct qemu_plugin_tb *tb, void *data)
{
	uint64_t addr = qemu_plugin_tb_vaddr(tb);
	size_t n = qemu_plugin_tb_n_insns(tb);
	int sort = addr >= MODULES ? MODULE : addr >> 63 ? CORE : USER;
	bool helps_on = in(&helps, addr), spins_on = in(&spins, addr);
	qemu_plugin_u64 spinning = { counts, offsetof(struct counts, spins) };
	uint8_t bytes[8];

	if (!helps_on)
		qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, INLINE_STORE_U64, spinning, spins_on);
	if (spins_on)
		return;
	if (tick.n && addr == tick.of[0].start)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, tick_begins, CB_NO_REGS, NULL);
	if (tick.n && addr == tick.of[0].end)
		qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, tick_ends, CB_NO_REGS, COND_EQ,
							  (qemu_plugin_u64){ counts, offsetof(struct counts, ticks) }, 1, NULL);
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, INLINE_ADD_U64, count_of(sort), n);
	if (profile && sort == MODULE) {
		for (size_t i = 0; i < n; i++)
			profile_insn(qemu_plugin_tb_get_insn(tb, i), 1);
	} else if (profile && sort == CORE) {
		profile_insn(qemu_plugin_tb_get_insn(tb, 0), n);
	}
	if (helps_on) {
		/* Kept for as long as QEMU runs: blocks are few, and translated anew seldom. */
		struct block *block = malloc(sizeof(*block));

		if (!block || !slot_of(addr, &block->slot))
			abort();
		block->n = n;
		qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, take_back, CB_NO_REGS, COND_EQ, spinning, 1, block);
	}
	if (sort != USER || addr >= FIXED)
		return;
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_size(insn) != 8 || qemu_plugin_insn_data(insn, bytes, 8) != 8)
			continue;
		for (uintptr_t end = 0; end < 2; end++)
			if (!memcmp(bytes, MARKS[end], 8))
				qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, CB_NO_REGS, (void *)end);
	}
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4)) {
			out = fopen(argv[i] + 4, "w");
		} else if (!strncmp(argv[i], "profile=", 8)) {
			profile_out = fopen(argv[i] + 8, "w");
			if (!profile_out)
				return 1;
			profile = qemu_plugin_scoreboard_new(SLOTS * sizeof(uint64_t));
		} else if (!strncmp(argv[i], "spin=", 5) && add_range(&spins, argv[i] + 5)) {
			continue;
		} else if (!strncmp(argv[i], "help=", 5) && add_range(&helps, argv[i] + 5)) {
			continue;
		} else if (!strncmp(argv[i], "tick=", 5) && add_range(&tick, argv[i] + 5)) {
			continue;
		} else {
			fprintf(stderr, "count: unknown argument %s\n", argv[i]);
			return 1;
		}
	}
	if (!out) {
		fprintf(stderr, "count: where to write is missing: out=FILE\n");
		return 1;
	}
	counts = qemu_plugin_scoreboard_new(sizeof(struct counts));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
	return 0;
}
