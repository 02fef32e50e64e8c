// SPDX-License-Identifier: GPL-2.0
/*
 * Many threads on one file, in every way that passthrough allows at once: calls to the backing file, calls that the server serves
 * from it, mappings of it, splices, and opens and closes meanwhile. Each thread has pages of its own and knows what must be there;
 * in the end all pages are compared by way of the backing file itself.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <time.h>
#include "server.h"
#include "stacked.h"

#define THREADS 6
#define PAGES 16		/* of each thread */
#define SECONDS 8

struct worker {
	pthread_t thread;
	struct server *v;
	int index, fd[2], wrong;
	volatile int rounds;
	char *map;
	uint64_t stamp[PAGES];
	const volatile bool *stop;
};

static void stamp(char *page, int index, int i, uint64_t n)
{
	for (int k = 0; k < PAGE / 8; k++)
		((uint64_t *)page)[k] = n << 20 | index << 16 | i << 10 | k;
}

static bool stamped(const char *page, int index, int i, uint64_t n)
{
	char want[PAGE];

	stamp(want, index, i, n);
	return !memcmp(page, want, PAGE);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned int seed = w->index + 1;
	char page[PAGE];
	int p[2];

	if (pipe(p))
		return NULL;
	while (!*w->stop) {
		int i = rand_r(&seed) % PAGES, way = rand_r(&seed) % 2;
		loff_t pos = ((loff_t)w->index * PAGES + i) * PAGE;
		char *mapped = w->map + pos;
		int fd = w->fd[way];

		switch (rand_r(&seed) % 8) {
		case 0:
			stamp(page, w->index, i, ++w->stamp[i]);
			w->wrong += pwrite(fd, page, PAGE, pos) != PAGE;
			break;
		case 1:
			stamp(mapped, w->index, i, ++w->stamp[i]);
			break;
		case 2:
			/* The C client takes the locks of pipe and inode in two orders there: lockdep complains. */
			if (module_is_c())
				break;
			stamp(page, w->index, i, ++w->stamp[i]);
			w->wrong += write(p[1], page, PAGE) != PAGE || splice(p[0], NULL, fd, &pos, PAGE, 0) != PAGE;
			break;
		case 3:
			w->wrong += !stamped(mapped, w->index, i, w->stamp[i]);
			break;
		case 4:
			/* The C client splices from its page cache where the server wants it direct. */
			if (module_is_c())
				break;
			w->wrong += splice(fd, &pos, p[1], NULL, PAGE, 0) != PAGE || read(p[0], page, PAGE) != PAGE ||
				    !stamped(page, w->index, i, w->stamp[i]);
			break;
		case 5:
			/* As the server says at that moment: one way or the other. */
			w->v->s->open_flags = way ? THROUGH : THROUGH | PARALLEL;
			close(fd);
			w->fd[way] = open(under(w->v, "file"), O_RDWR | O_CLOEXEC);
			w->wrong += w->fd[way] < 0;
			break;
		default:
			w->wrong += pread(fd, page, PAGE, pos) != PAGE || !stamped(page, w->index, i, w->stamp[i]);
		}
		w->rounds++;
	}
	close(p[0]);
	close(p[1]);
	return NULL;
}

FIXTURE(mixed) {
	struct server v;
	char place[64];
};

FIXTURE_VARIANT(mixed) {
	bool disk;
};

FIXTURE_VARIANT_ADD(mixed, tmpfs) {};
FIXTURE_VARIANT_ADD(mixed, disk) { .disk = true };

FIXTURE_SETUP(mixed)
{
	char path[128];

	server_init(&self->v);
	self->v.s->max_stack_depth = 1;
	snprintf(self->place, sizeof(self->place), "%s.place", self->v.dir);
	ASSERT_TRUE(place_make(self->place, variant->disk));
	snprintf(path, sizeof(path), "%s/data", self->place);
	self->v.data = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_EQ(0, ftruncate(self->v.data, THREADS * PAGES * PAGE));
	ASSERT_EQ(0, stacked_start(&self->v, FUSE_PASSTHROUGH | FUSE_ASYNC_DIO, ""));
}

FIXTURE_TEARDOWN(mixed)
{
	server_end(&self->v);
	close(self->v.data);
	EXPECT_EQ(0, place_end(self->place));
}

TEST_F(mixed, checksums)
{
	struct server *v = &self->v;
	struct worker w[THREADS] = {};
	volatile bool stop = false;
	char page[PAGE];
	int id, wrong = 0;

	id = backing_open(v, v->data);
	ASSERT_LT(0, id);
	for (int t = 0; t < THREADS; t++) {
		w[t] = (struct worker){ .v = v, .index = t, .stop = &stop };
		w[t].fd[0] = open_as(v, THROUGH, id, O_RDWR);
		w[t].fd[1] = open_as(v, THROUGH | PARALLEL, id, O_RDWR);
		ASSERT_LE(0, w[t].fd[0]);
		ASSERT_LE(0, w[t].fd[1]);
		w[t].map = mmap(NULL, THREADS * PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, w[t].fd[t % 2], 0);
		ASSERT_NE(MAP_FAILED, w[t].map);
		for (int i = 0; i < PAGES; i++) {
			stamp(page, t, i, 0);
			ASSERT_EQ(PAGE, pwrite(w[t].fd[0], page, PAGE, ((off_t)t * PAGES + i) * PAGE));
		}
	}
	for (int t = 0; t < THREADS; t++)
		ASSERT_EQ(0, pthread_create(&w[t].thread, NULL, work, &w[t]));
	sleep(SECONDS);
	for (int t = 0; t < THREADS; t++)
		EXPECT_TRUE(soon(w[t].rounds > 10));
	stop = true;
	for (int t = 0; t < THREADS; t++) {
		pthread_join(w[t].thread, NULL);
		EXPECT_EQ(0, w[t].wrong) TH_LOG("thread %d of %d rounds", t, w[t].rounds);
		for (int i = 0; i < PAGES; i++) {
			ASSERT_EQ(PAGE, pread(v->data, page, PAGE, ((off_t)t * PAGES + i) * PAGE));
			wrong += !stamped(page, t, i, w[t].stamp[i]);
		}
		munmap(w[t].map, THREADS * PAGES * PAGE);
		close(w[t].fd[0]);
		close(w[t].fd[1]);
	}
	EXPECT_EQ(0, wrong);
	EXPECT_LT(0, v->s->count[FUSE_WRITE]);
	EXPECT_LT(0, v->s->count[FUSE_READ]);
	EXPECT_MODE("", v);
	/* What was in a backing file is no less a file of the server. */
	ASSERT_EQ(0, backing_close(v, id));
	EXPECT_EQ(0, try_as(v, 0, 0));
}

TEST_HARNESS_MAIN
