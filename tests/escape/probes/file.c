/* Files of the host: reading one with a secret, listing, opening by handle. */
#include "probe.h"

#include <dirent.h>

/* file_read PATH TEXT */
PROBE(file_read)
{
	const char *path = arg(argc, argv, 1);
	int found = contains(path, arg(argc, argv, 2));
	if (found > 0)
		return reached("%s has the text", path);
	if (found == 0)
		errno = 0;
	return denied("read");
}

/* file_open PATH: anything that can be opened for reading. */
PROBE(file_open)
{
	const char *path = arg(argc, argv, 1);
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? denied("open") : reached("%s is open", path);
}

/* file_write PATH: opens for writing, writes nothing. */
PROBE(file_write)
{
	const char *path = arg(argc, argv, 1);
	int fd = open(path, O_WRONLY | O_NOCTTY);
	return fd < 0 ? denied("open") : reached("%s is open for writing", path);
}

/* file_create DIRECTORY NAME */
PROBE(file_create)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", arg(argc, argv, 1), arg(argc, argv, 2));
	int fd = open(path, O_WRONLY | O_CREAT, 0644);
	return fd < 0 ? denied("create") : reached("%s was created", path);
}

/* file_rewrite PATH: writes back what is there. */
PROBE(file_rewrite)
{
	char buffer[4096];
	const char *path = arg(argc, argv, 1);
	int fd = open(path, O_RDWR);
	if (fd < 0)
		return denied("open");
	ssize_t n = read(fd, buffer, sizeof buffer);
	if (n < 0)
		return denied("read");
	if (pwrite(fd, n ? buffer : "\n", n ? (size_t)n : 1, 0) < 0)
		return denied("write");
	return reached("%s was written", path);
}

/* file_list DIRECTORY NAME: is there such an entry? */
PROBE(file_list)
{
	DIR *d = opendir(arg(argc, argv, 1));
	if (!d)
		return denied("opendir");
	for (struct dirent *e; (e = readdir(d));)
		if (!strcmp(e->d_name, arg(argc, argv, 2)))
			return reached("%s is listed", e->d_name);
	errno = 0;
	return denied("not listed");
}

/* file_climb PATH TEXT: as many ".." as there may be directories. */
PROBE(file_climb)
{
	char path[2 * PATH_MAX];
	snprintf(path, sizeof path, "/proc/self/cwd/../../../../../../../../../../../../../../../..%s", arg(argc, argv, 1));
	int found = contains(path, arg(argc, argv, 2));
	if (found > 0)
		return reached("%s has the text", path);
	if (found == 0)
		errno = 0;
	return denied("read");
}

/* file_handle PATH: opens a file by its handle, past every directory. */
PROBE(file_handle)
{
	struct {
		struct file_handle h;
		unsigned char more[MAX_HANDLE_SZ];
	} handle;
	int mount_id;
	const char *path = arg(argc, argv, 1);
	handle.h.handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(AT_FDCWD, path, &handle.h, &mount_id, 0))
		return denied("name_to_handle_at");
	int dir = open("/", O_RDONLY | O_DIRECTORY);
	int fd = open_by_handle_at(dir, &handle.h, O_RDONLY);
	return fd < 0 ? denied("open_by_handle_at") : reached("%s is open", path);
}

/* file_setid DIRECTORY: leaves set-user-id files, made by every call that takes a mode. The test looks at them. */
PROBE(file_setid)
{
	const mode_t mode = S_ISUID | S_ISGID | 0755;
	const char *const names[] = { "open", "mknod", "chmod", "fchmod", "fchmodat2", "O_TMPFILE" };
	char path[6][PATH_MAX], link[64];
	umask(0);
	for (int i = 0; i < 6; i++)
		snprintf(path[i], PATH_MAX, "%s/%s", arg(argc, argv, 1), names[i]);
	close(open(path[0], O_WRONLY | O_CREAT | O_EXCL, mode));
	mknod(path[1], S_IFREG | mode, 0);
	close(open(path[2], O_WRONLY | O_CREAT, 0755));
	chmod(path[2], mode);
	int fd = open(path[3], O_WRONLY | O_CREAT, 0755);
	fchmod(fd, mode);
	close(open(path[4], O_WRONLY | O_CREAT, 0755));
	syscall(452, AT_FDCWD, path[4], mode, 0);
	fd = open(argv[1], O_WRONLY | O_TMPFILE, mode);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	linkat(AT_FDCWD, link, AT_FDCWD, path[5], AT_SYMLINK_FOLLOW);
	return reached("see what is there");
}
