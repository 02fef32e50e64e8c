/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Commands by a process of their own, which is started before any file is opened: every process that ends closes what it
 * has inherited, and with WRITEBACK_CACHE a close writes back. Include after vfs.h.
 */
#ifndef ASIDE_H
#define ASIDE_H

/* Runs what it is told until there is no more. */
static void help(int in, int out)
{
	char command[1024], answer[4096];
	ssize_t n;

	while ((n = read(in, command, sizeof(command) - 1)) > 0) {
		command[n] = 0;
		memset(answer, 0, sizeof(answer));
		answer[0] = shell(answer + 1, sizeof(answer) - 1, command);
		if (write(out, answer, sizeof(answer)) < 0)
			break;
	}
	_exit(0);
}

/* What the command says; its text is kept until the next. */
static const char *ask(int to, int from, const char *format, ...)
{
	static char answer[4096];
	char command[1024];
	size_t n = 0;
	ssize_t got;
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (write(to, command, strlen(command)) < 0)
		return "";
	while (n < sizeof(answer) && (got = read(from, answer + n, sizeof(answer) - n)) > 0)
		n += got;
	return n == sizeof(answer) && !answer[0] ? answer + 1 : "";
}

/* Starts the process, which ends when `to` is closed. */
static pid_t aside(int *to, int *from)
{
	int down[2], up[2];
	pid_t pid;

	if (pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		close(down[1]);
		close(up[0]);
		help(down[0], up[1]);
	}
	close(down[0]);
	close(up[1]);
	*to = down[1];
	*from = up[0];
	return pid;
}

#endif
