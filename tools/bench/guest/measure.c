// SPDX-License-Identifier: GPL-2.0
/*
 * measure COMMAND...: runs a command between the two marks that the count plugin looks for, and ends with its status.
 * Linked statically at a fixed address, where the plugin looks for marks.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int status = 0;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: measure COMMAND...\n");
		return 2;
	}
	asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 0x62, 0x67, 0x6e, 0x5a");
	pid = fork();
	if (!pid) {
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		;
	asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 0x65, 0x6e, 0x64, 0x5a");
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}
