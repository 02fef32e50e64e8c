// SPDX-License-Identifier: GPL-2.0
/* mapwrite FILE OFFSET TEXT: stores TEXT into FILE through a shared mapping, without any write(2) or msync(2). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t offset, end;
	char *p;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: mapwrite FILE OFFSET TEXT\n");
		return 2;
	}
	offset = strtoul(argv[2], NULL, 0);
	end = offset + strlen(argv[3]);
	fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	p = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	memcpy(p + offset, argv[3], end - offset);
	return 0;
}
