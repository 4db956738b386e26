// SPDX-License-Identifier: GPL-2.0
/*
 * Drives the mock device of selftest_sva.c through SVA, page requests and their answers, and prints what it was told,
 * one line a check: "NAME VALUE". It judges nothing but the reconciliation of counts: the C build and the Rust build of
 * one tree run it, and expected.txt says what each must print.
 *
 *   vehicle checks             every check
 *   vehicle cost N             N faults on a present page, three times: "cost NANOSECONDS" each
 *   vehicle touch seq|random   64 MiB cold: "touch REQUESTS PAGES NANOSECONDS"
 *   vehicle stress SECONDS N   processes bind, fault, unmap, fork, unbind, are killed, devices come and go; at least N
 *                              faults, each answered once
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include "iommufd_test.h"
#include "selftest_sva.h"

#define LAST 2 /* IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE */
#define PASID 1 /* IOMMU_FAULT_PAGE_REQUEST_PASID_VALID */
#define READ 1
#define WRITE 2
#define EXEC 4
#define PAGE 4096UL
#define BONDS "/sys/kernel/debug/iommu_iopf/bonds"

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static int iommufd = -1;
static unsigned int idev;

static void die(const char *what)
{
	printf("vehicle: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void setup(void)
{
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct iommu_test_cmd cmd = { .size = sizeof(cmd), .op = IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS };

	iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (iommufd < 0 || ioctl(iommufd, IOMMU_IOAS_ALLOC, &ioas))
		die("/dev/iommu");
	cmd.id = ioas.out_ioas_id;
	cmd.mock_domain_flags.dev_flags = MOCK_FLAGS_DEVICE_PASID;
	if (ioctl(iommufd, IOMMU_TEST_CMD, &cmd))
		die("mock device");
	idev = cmd.mock_domain_flags.out_idev_id;
}

static int engine(void)
{
	struct iommu_test_cmd cmd = { .size = sizeof(cmd), .op = IOMMU_TEST_OP_SVA_OPEN };
	int fd;

	cmd.trigger_iopf.dev_id = idev;
	fd = ioctl(iommufd, IOMMU_TEST_CMD, &cmd);
	if (fd < 0)
		die("engine");
	return fd;
}

static long say(int fd, struct mock_sva_cmd *cmd, unsigned int op)
{
	cmd->op = op;
	return ioctl(fd, MOCK_SVA_IOCTL, cmd) < 0 ? -errno : 0;
}

static long simple(int fd, unsigned int op)
{
	struct mock_sva_cmd cmd = { 0 };

	return say(fd, &cmd, op);
}

static unsigned int bind_to(int fd)
{
	struct mock_sva_cmd cmd = { 0 };

	if (say(fd, &cmd, MOCK_SVA_BIND))
		die("bind");
	return cmd.out[0];
}

static long report(int fd, unsigned int pasid, unsigned int group, void *addr, unsigned int perm, unsigned int flags)
{
	struct mock_sva_cmd cmd = { .flags = flags | PASID, .pasid = pasid, .grpid = group, .perm = perm,
				    .addr = (uintptr_t)addr };

	return say(fd, &cmd, MOCK_SVA_REPORT);
}

static long answer_within(int fd, unsigned int group, unsigned int ms)
{
	struct mock_sva_cmd cmd = { .grpid = group, .timeout_ms = ms };
	long ret = say(fd, &cmd, MOCK_SVA_WAIT);

	return ret ? ret : (long)cmd.out[0];
}

static long fault(int fd, unsigned int pasid, unsigned int group, void *addr, unsigned int perm)
{
	report(fd, pasid, group, addr, perm, LAST);
	return answer_within(fd, group, 10000);
}

static void *map(size_t len, int prot)
{
	void *at = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void tell(const char *name, long value)
{
	printf("%s %ld\n", name, value);
	fflush(stdout);
}

/* Everything reported was answered once, and nothing else. */
static void reconcile(const char *name, int fd)
{
	struct mock_sva_cmd cmd = { 0 };

	say(fd, &cmd, MOCK_SVA_STATS);
	tell(name, (long)(cmd.out[0] - cmd.out[1] - cmd.out[2] - cmd.out[3]) + (long)cmd.out[4]);
}

static void check_faults(void)
{
	int fd = engine(), other = engine();
	unsigned int pasid = bind_to(fd);
	char *memory = map(16 * PAGE, PROT_READ | PROT_WRITE), *fixed = map(PAGE, PROT_READ), *beyond;
	int empty = memfd_create("empty", MFD_CLOEXEC);

	tell("same_mm_same_pasid", bind_to(other) == pasid);
	tell("bind_twice_on_one_file", simple(fd, MOCK_SVA_BIND));
	tell("read", fault(fd, pasid, 1, memory, READ));
	tell("write", fault(fd, pasid, 2, memory + PAGE, WRITE));
	memory[PAGE] = 1;
	tell("write_read_only", fault(fd, pasid, 3, fixed, WRITE));
	tell("read_read_only", fault(fd, pasid, 4, fixed, READ));
	tell("exec_data", fault(fd, pasid, 5, memory, EXEC));
	munmap(fixed, PAGE);
	tell("unmapped", fault(fd, pasid, 6, fixed, READ));
	tell("kernel_address", fault(fd, pasid, 7, (void *)0xffffffff81000000UL, READ));
	tell("null", fault(fd, pasid, 8, NULL, READ));
	/* Mapped and allowed, and yet there is no such page. */
	beyond = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, empty, 0);
	tell("beyond_the_file", beyond == MAP_FAILED ? -errno : fault(fd, pasid, 14, beyond, READ));
	munmap(beyond, PAGE);
	close(empty);
	/* Two partial requests and the last: one answer. */
	tell("partial_1", report(fd, pasid, 9, memory + 2 * PAGE, READ, 0));
	tell("partial_2", report(fd, pasid, 9, memory + 3 * PAGE, WRITE, 0));
	tell("partial_early", answer_within(fd, 9, 50));
	tell("partial_last", fault(fd, pasid, 9, memory + 4 * PAGE, READ));
	/* One request of a group is bad: so is the group. */
	report(fd, pasid, 10, fixed, READ, 0);
	tell("bad_partial", fault(fd, pasid, 10, memory, READ));
	/* The first bond of the mm goes: the other stays. */
	simple(fd, MOCK_SVA_UNBIND);
	tell("one_bond_left", fault(other, pasid, 11, memory + 5 * PAGE, READ));
	simple(other, MOCK_SVA_UNBIND);
	tell("after_unbind_report", report(other, pasid, 12, memory, READ, LAST));
	tell("after_unbind_answer", answer_within(other, 12, 1000));
	tell("rebind", bind_to(fd) == pasid && !fault(fd, pasid, 13, memory + 6 * PAGE, WRITE));
	close(fd);
	close(other);
}

static void check_overflow(void)
{
	int fd = engine();
	unsigned int pasid = bind_to(fd);
	char *memory = map(16 * PAGE, PROT_READ | PROT_WRITE);

	report(fd, pasid, 1, memory, READ, 0);
	report(fd, pasid, 2, memory, READ, 0);
	report(fd, pasid, 2, memory + PAGE, READ, 0);
	tell("overflow", simple(fd, MOCK_SVA_OVERFLOW));
	tell("overflow_answer_1", answer_within(fd, 1, 200));
	tell("overflow_answer_2", answer_within(fd, 2, 200));
	/* The device goes on. */
	tell("after_overflow", fault(fd, pasid, 3, memory + 2 * PAGE, WRITE));
	close(fd);
}

static void check_lookup(void)
{
	int fd = engine();
	struct mock_sva_cmd cmd = { 0 };
	unsigned int pasid = bind_to(fd);

	cmd.pasid = pasid;
	tell("lookup_ours", say(fd, &cmd, MOCK_SVA_LOOKUP));
	simple(fd, MOCK_SVA_UNBIND);
	tell("lookup_free", say(fd, &cmd, MOCK_SVA_LOOKUP));
	/* The PASID of this mm, attached by somebody else, without a handle. */
	tell("attach_bare", say(fd, &cmd, MOCK_SVA_ATTACH));
	tell("lookup_bare", say(fd, &cmd, MOCK_SVA_LOOKUP));
	tell("bind_busy", simple(fd, MOCK_SVA_BIND));
	tell("fault_bare", report(fd, pasid, 1, &cmd, READ, LAST));
	tell("detach_bare", say(fd, &cmd, MOCK_SVA_DETACH));
	tell("bind_free_again", simple(fd, MOCK_SVA_BIND));
	close(fd);
}

static void check_unattached(void)
{
	int fd = engine();
	unsigned int pasid = bind_to(fd);
	char *memory = map(PAGE, PROT_READ);

	/* An engine hears the answers of its PASID, bound or not. */
	simple(fd, MOCK_SVA_UNBIND);
	tell("unattached_partial", report(fd, pasid, 1, memory, READ, 0));
	tell("unattached_partial_answer", answer_within(fd, 1, 100));
	tell("unattached_last", report(fd, pasid, 2, memory, READ, LAST));
	tell("unattached_last_answer", answer_within(fd, 2, 1000));
	close(fd);
}

/* Frees the group that the engine's handler kept longest. How many requests it had. */
static long free_kept(int fd, bool answer)
{
	struct mock_sva_cmd cmd = { .flags = answer };
	long ret = say(fd, &cmd, MOCK_SVA_FREE_KEPT);

	return ret ? ret : (long)cmd.out[0];
}

/* A handler that keeps its groups answers the first, forgets the next, and has the last when the device is removed. */
static void check_handler(void)
{
	int fd = engine();
	struct mock_sva_cmd cmd = { .pasid = bind_to(fd), .flags = 1 };
	char *memory = map(PAGE, PROT_READ);

	simple(fd, MOCK_SVA_UNBIND);
	tell("kept_attach", say(fd, &cmd, MOCK_SVA_ATTACH));
	report(fd, cmd.pasid, 1, memory, READ, 0);
	report(fd, cmd.pasid, 1, memory, READ, LAST);
	tell("kept_requests", free_kept(fd, true));
	tell("kept_answer", answer_within(fd, 1, 1000));
	report(fd, cmd.pasid, 2, memory, READ, LAST);
	free_kept(fd, false);
	tell("kept_forgotten", answer_within(fd, 2, 200));
	report(fd, cmd.pasid, 3, memory, READ, LAST);
	tell("kept_detach", say(fd, &cmd, MOCK_SVA_DETACH));
	tell("kept_removed", answer_within(fd, 3, 200));
	tell("kept_late", free_kept(fd, true));
	close(fd);
}

static int armed(char *memory, size_t len)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)memory, len }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		die("userfaultfd");
	return fd;
}

/* One message, and its page filled. Whether there was one. */
static bool resolve(int uffd, int timeout_ms)
{
	static char page[PAGE] __attribute__((aligned(4096)));
	struct pollfd ready = { .fd = uffd, .events = POLLIN };
	struct uffdio_copy copy = { .src = (uintptr_t)page, .len = PAGE };
	struct uffd_msg msg;

	if (poll(&ready, 1, timeout_ms) != 1 || read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		return false;
	memset(page, 0x5a, PAGE);
	copy.dst = msg.arg.pagefault.address & ~(PAGE - 1);
	return !ioctl(uffd, UFFDIO_COPY, &copy);
}

/* The line of this PASID's bond, if the kernel has one to say. */
static bool bond_line(unsigned int pasid, char *line, size_t len)
{
	FILE *bonds = fopen(BONDS, "r");
	bool found = false;
	unsigned int other;

	while (bonds && !found && fgets(line, len, bonds))
		found = sscanf(line, "%*s %u", &other) == 1 && other == pasid;
	if (bonds)
		fclose(bonds);
	return found;
}

/* How many of its faults waited for a userfaultfd handler. */
static long waits(unsigned int pasid)
{
	unsigned long long n = 0;
	char line[1024];

	if (bond_line(pasid, line, sizeof(line)))
		sscanf(line, "%*s %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu", &n);
	return n;
}

static void check_userfaultfd(void)
{
	int fd = engine(), uffd;
	unsigned int pasid = bind_to(fd);
	char *memory = map(16 * PAGE, PROT_READ | PROT_WRITE), *plain = map(PAGE, PROT_READ | PROT_WRITE);
	bool asked;

	uffd = armed(memory, 16 * PAGE);
	report(fd, pasid, 1, memory, READ, LAST);
	/* Others go on while it waits. */
	tell("uffd_others", fault(fd, pasid, 2, plain, WRITE));
	asked = resolve(uffd, 1000);
	tell("uffd_asked", asked);
	tell("uffd_answer", answer_within(fd, 1, 2000));
	tell("uffd_data", asked ? memory[0] : 0);
	/* The handler goes away: the memory is ordinary again, and the fault with it. */
	report(fd, pasid, 3, memory + PAGE, WRITE, LAST);
	tell("uffd_waits", answer_within(fd, 3, 100));
	close(uffd);
	tell("uffd_closed", answer_within(fd, 3, 2000));
	tell("uffd_counted", waits(pasid));
	/* Nobody answers, and the bond ends. */
	uffd = armed(memory + 8 * PAGE, 4 * PAGE);
	report(fd, pasid, 4, memory + 8 * PAGE, READ, LAST);
	answer_within(fd, 4, 50);
	tell("uffd_unbind", simple(fd, MOCK_SVA_UNBIND));
	tell("uffd_unbind_answer", answer_within(fd, 4, 2000));
	close(uffd);
	reconcile("uffd_reconcile", fd);
	close(fd);
}

/* How long a fault waits for a userfaultfd handler, where it does. */
static void wait_at_most(unsigned int ms)
{
	FILE *parameter = fopen("/sys/module/iommu_iopf/parameters/uffd_wait_ms", "w");

	if (!parameter)
		return;
	if (fprintf(parameter, "%u", ms) < 0 || fclose(parameter))
		die("uffd_wait_ms");
}

/* A process of its own, bound to the device until `leave` is closed: then it faults, and exits 0 if it got its page. */
static pid_t other_bond(int *leave)
{
	int ready[2], end[2];
	pid_t child;
	char byte;

	if (pipe(ready) || pipe(end))
		die("pipe");
	child = fork();
	if (!child) {
		int fd = engine();
		unsigned int pasid = bind_to(fd);
		char *memory = map(PAGE, PROT_READ | PROT_WRITE);

		close(end[1]);
		if (write(ready[1], "x", 1) != 1 || read(end[0], &byte, 1))
			_exit(1);
		_exit(!!fault(fd, pasid, 1, memory, WRITE));
	}
	if (read(ready[0], &byte, 1) != 1)
		die("child");
	close(ready[0]);
	close(ready[1]);
	close(end[0]);
	*leave = end[1];
	return child;
}

/* A bond ends, and its waiting fault with it, although the device's fault path stays: another process has a bond. */
static void check_other_bond(void)
{
	int fd = engine(), uffd, leave, status;
	unsigned int pasid = bind_to(fd);
	char *memory = map(4 * PAGE, PROT_READ | PROT_WRITE);
	pid_t other = other_bond(&leave);
	double began;

	uffd = armed(memory, 4 * PAGE);
	wait_at_most(30000);
	report(fd, pasid, 1, memory, READ, LAST);
	answer_within(fd, 1, 50);
	began = seconds();
	simple(fd, MOCK_SVA_UNBIND);
	tell("other_bond_ends_soon", seconds() - began < 10);
	tell("other_bond_answer", answer_within(fd, 1, 1000));
	tell("other_bond_refused", report(fd, pasid, 2, memory, READ, LAST));
	tell("other_bond_refused_answer", answer_within(fd, 2, 1000));
	wait_at_most(600000);
	close(leave);
	waitpid(other, &status, 0);
	tell("other_bond_goes_on", WIFEXITED(status) && !WEXITSTATUS(status));
	close(uffd);
	close(fd);
}

/* Nobody answers at all. */
static void check_patience(void)
{
	int fd = engine(), uffd;
	unsigned int pasid = bind_to(fd);
	char *memory = map(4 * PAGE, PROT_READ | PROT_WRITE);

	uffd = armed(memory, 4 * PAGE);
	wait_at_most(200);
	tell("uffd_in_vain", fault(fd, pasid, 1, memory, READ));
	wait_at_most(600000);
	close(uffd);
	close(fd);
}

static long resident(char *memory, size_t len);

/* A device that walks through memory is given pages ahead, but not these. */
static void check_around(void)
{
	int fd = engine(), i;
	unsigned int pasid = bind_to(fd);
	char *random = map(64 * PAGE, PROT_READ | PROT_WRITE), *two = map(64 * PAGE, PROT_READ | PROT_WRITE);

	madvise(random, 64 * PAGE, MADV_NOHUGEPAGE);
	madvise(two, 64 * PAGE, MADV_NOHUGEPAGE);
	madvise(random, 64 * PAGE, MADV_RANDOM);
	mprotect(two + 32 * PAGE, 32 * PAGE, PROT_READ);
	for (i = 0; i < 16; i++)
		fault(fd, pasid, i, random + i * PAGE, WRITE);
	tell("around_advised_random", resident(random, 64 * PAGE));
	for (i = 0; i < 32; i++)
		fault(fd, pasid, i, two + i * PAGE, WRITE);
	tell("around_mapping", resident(two, 32 * PAGE));
	tell("around_next_mapping", resident(two + 32 * PAGE, 32 * PAGE));
	close(fd);
}

/* The PASID of a process of its own, which has ended when this returns. */
static unsigned int passing_pasid(void)
{
	unsigned int pasid = 0;
	int out[2];
	pid_t child;

	if (pipe(out))
		die("pipe");
	child = fork();
	if (!child) {
		int fd = engine();
		char *memory = map(PAGE, PROT_READ | PROT_WRITE);

		pasid = bind_to(fd);
		if (fault(fd, pasid, 1, memory, WRITE) || write(out[1], &pasid, sizeof(pasid)) != sizeof(pasid))
			_exit(1);
		_exit(0);
	}
	close(out[1]);
	if (read(out[0], &pasid, sizeof(pasid)) != sizeof(pasid))
		die("child");
	close(out[0]);
	waitpid(child, NULL, 0);
	return pasid;
}

/* The lowest that is free is given out: that of a process that has ended is, once its memory is gone for good. */
static void check_pasids(void)
{
	double until = seconds() + 30;
	unsigned int first = passing_pasid();
	bool comes_back = false;

	while (!comes_back && seconds() < until) {
		usleep(10000);
		comes_back = passing_pasid() <= first;
	}
	tell("pasid_comes_back", comes_back);
}

/* A process dies with a fault that waits: its fault ends, and the device can be used again. */
static void check_exit(void)
{
	int ready[2];
	pid_t child;
	char byte;

	if (pipe(ready))
		die("pipe");
	child = fork();
	if (!child) {
		int fd = engine();
		unsigned int pasid = bind_to(fd);
		char *memory = map(4 * PAGE, PROT_READ | PROT_WRITE);

		armed(memory, 4 * PAGE);
		report(fd, pasid, 1, memory, READ, LAST);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		die("child");
	kill(child, SIGKILL);
	tell("killed", waitpid(child, NULL, 0) == child);
	close(ready[0]);
	close(ready[1]);
}

static void cost(unsigned long faults)
{
	int fd = engine(), round;
	unsigned int pasid = bind_to(fd);
	char *memory = map(PAGE, PROT_READ | PROT_WRITE);

	memory[0] = 1;
	for (round = 0; round < 3; round++) {
		struct mock_sva_cmd cmd = { .pasid = pasid, .perm = WRITE, .addr = (uintptr_t)memory, .len = faults };

		if (say(fd, &cmd, MOCK_SVA_HAMMER) || cmd.out[0] != faults)
			die("hammer");
		printf("cost %llu\n", (unsigned long long)(cmd.out[1] / faults));
	}
	reconcile("cost_reconcile", fd);
	close(fd);
}

static long resident(char *memory, size_t len)
{
	size_t pages = len / PAGE, i, n = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry;

	for (i = 0; i < pages; i++)
		if (pread(fd, &entry, 8, ((uintptr_t)memory / PAGE + i) * 8) == 8 && entry >> 63)
			n++;
	close(fd);
	return n;
}

static void touch(bool at_random)
{
	size_t len = 64UL << 20;
	int fd = engine();
	unsigned int pasid = bind_to(fd);
	/* Random order touches a quarter of what is mapped. */
	char *memory = map(at_random ? 4 * len : len, PROT_READ | PROT_WRITE);
	struct mock_sva_cmd cmd = { .pasid = pasid, .perm = WRITE, .addr = (uintptr_t)memory, .len = len,
				    .flags = at_random, .grpid = 7 };

	madvise(memory, at_random ? 4 * len : len, MADV_NOHUGEPAGE);
	if (at_random)
		cmd.len = len;
	if (say(fd, &cmd, MOCK_SVA_TOUCH))
		die("touch");
	printf("touch %llu %ld %llu\n", (unsigned long long)cmd.out[0], resident(memory, len),
	       (unsigned long long)cmd.out[1]);
	tell("touch_denied", cmd.out[2]);
	reconcile("touch_reconcile", fd);
	close(fd);
}

static volatile bool stop;
static unsigned long wanted;

struct storm {
	int fd;
	unsigned int pasid, number, seed;
	bool partials;
	char *memory;
	unsigned long faults;
};

static void *storm(void *arg)
{
	struct storm *mine = arg;
	unsigned int seed = mine->number * 7919 + mine->seed;

	while (!stop) {
		unsigned int group = mine->number * 64 + rand_r(&seed) % 64;
		char *at = mine->memory + (rand_r(&seed) % 1024) * PAGE;

		if (mine->partials && rand_r(&seed) % 8 == 0)
			report(mine->fd, mine->pasid, group, at, READ, 0);
		fault(mine->fd, mine->pasid, group, at, rand_r(&seed) % 2 ? READ : WRITE);
		mine->faults++;
		switch (rand_r(&seed) % 256) {
		case 0:
			madvise(mine->memory, 1024 * PAGE, MADV_DONTNEED);
			break;
		case 1:
			mprotect(at, PAGE, PROT_READ);
			break;
		case 2:
			mprotect(at, PAGE, PROT_READ | PROT_WRITE);
			break;
		case 4:
			munmap(at, PAGE);
			break;
		case 5:
			/* What is there, or whatever part of it is. */
			if (mmap(mine->memory, 64 * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
				die("mmap");
			break;
		case 3: {
			pid_t child = fork();

			if (!child)
				_exit(0);
			if (child > 0)
				waitpid(child, NULL, 0);
			break;
		}
		}
	}
	return NULL;
}

/* What the kernel counted of this PASID's bond: answers not given for groups taken, and groups in flight, or -1. */
static long owed_now(unsigned int pasid)
{
	unsigned long long groups, success, invalid, failure;
	unsigned int in_flight;
	char line[1024];

	if (!bond_line(pasid, line, sizeof(line)) ||
	    sscanf(line, "%*s %*u %*u %llu %u %llu %llu %llu", &groups, &in_flight, &success, &invalid, &failure) != 5)
		return access(BONDS, F_OK) ? 0 : -1;
	return (long)(groups - success - invalid - failure) + in_flight;
}

/* As above, once it has settled: a device hears an answer before that is counted. */
static long owed_by_kernel(unsigned int pasid)
{
	double until = seconds() + 10;
	long owed;

	while ((owed = owed_now(pasid)) && seconds() < until)
		usleep(1000);
	return owed;
}

/*
 * One process of the stress: four threads on one bond, until killed or told to stop. The bond itself comes and goes
 * under them if told so. Faults it made, on the pipe.
 */
static void stormy(int out, double until, unsigned int seed, bool rebinds)
{
	struct storm storms[4];
	pthread_t threads[4];
	unsigned long sum = 0;
	int i, fd = engine();
	unsigned int pasid = bind_to(fd);
	char *memory = map(1024 * PAGE, PROT_READ | PROT_WRITE);
	struct mock_sva_cmd cmd = { 0 };
	long owed;

	for (i = 0; i < 4; i++) {
		/* A bond that goes answers its incomplete groups, which might be completed just then. */
		storms[i] = (struct storm){ fd, pasid, i, seed, !rebinds, memory, 0 };
		pthread_create(&threads[i], NULL, storm, &storms[i]);
	}
	while (seconds() < until) {
		usleep(10000);
		if (rebinds && (simple(fd, MOCK_SVA_UNBIND) || bind_to(fd) != pasid))
			die("bind again");
	}
	stop = true;
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		sum += storms[i].faults;
	}
	/* Groups that have not got their last request. */
	for (i = 0; i < 256; i++)
		fault(fd, pasid, i, memory, READ);
	/* What was reported was answered, once: partial requests share their group's answer. */
	say(fd, &cmd, MOCK_SVA_STATS);
	owed = owed_by_kernel(pasid);
	if (cmd.out[4] || cmd.out[0] != cmd.out[1] + cmd.out[2] + cmd.out[3] || owed)
		printf("stress: %llu groups, %llu + %llu + %llu answers, %llu nobody waited for, %ld owed\n",
		       (unsigned long long)cmd.out[0], (unsigned long long)cmd.out[1], (unsigned long long)cmd.out[2],
		       (unsigned long long)cmd.out[3], (unsigned long long)cmd.out[4], owed);
	else
		owed = 0;
	if (write(out, &sum, sizeof(sum)) != sizeof(sum))
		_exit(1);
	close(fd);
	_exit(owed || cmd.out[4] || cmd.out[0] != cmd.out[1] + cmd.out[2] + cmd.out[3]);
}

static int stress(double length, unsigned long faults)
{
	double until = seconds() + length;
	unsigned long sum = 0, one;
	unsigned int rounds = 0;
	int out[2], status, bad = 0;

	wanted = faults;
	if (pipe2(out, O_NONBLOCK))
		die("pipe");
	while (seconds() < until || sum < wanted) {
		pid_t children[3];
		unsigned int i;

		for (i = 0; i < 3; i++) {
			children[i] = fork();
			if (!children[i]) {
				/* The third has a device of its own, which goes with it. */
				if (i == 2)
					setup();
				stormy(out[1], seconds() + (i == 2 ? 60 : 2), rounds * 3 + i, i == rounds % 3);
			}
		}
		/* It is killed in the middle. */
		usleep(500000);
		kill(children[2], SIGKILL);
		for (i = 0; i < 3; i++) {
			waitpid(children[i], &status, 0);
			if (i < 2 && (!WIFEXITED(status) || WEXITSTATUS(status)))
				bad++;
		}
		while (read(out[0], &one, sizeof(one)) == sizeof(one))
			sum += one;
		rounds++;
		if (seconds() > until + 10 * length)
			break;
	}
	printf("stress %lu faults %u rounds %d bad\n", sum, rounds, bad);
	return bad || sum < wanted;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "vehicle checks | cost N | touch seq|random | stress SECONDS FAULTS\n");
		return 2;
	}
	setup();
	if (!strcmp(argv[1], "checks")) {
		check_faults();
		check_overflow();
		check_lookup();
		check_unattached();
		check_handler();
		/* Whoever waits for ever has failed. */
		alarm(240);
		wait_at_most(600000);
		check_userfaultfd();
		check_other_bond();
		check_patience();
		check_around();
		/* After what counts pages: C may handle the fault of the process that was killed in whoever binds next. */
		check_exit();
		check_pasids();
		wait_at_most(10000);
		tell("done", 1);
	} else if (!strcmp(argv[1], "cost") && argc > 2) {
		cost(strtoul(argv[2], NULL, 0));
	} else if (!strcmp(argv[1], "touch") && argc > 2) {
		touch(!strcmp(argv[2], "random"));
	} else if (!strcmp(argv[1], "stress") && argc > 3) {
		return stress(atof(argv[2]), strtoul(argv[3], NULL, 0));
	} else {
		return 2;
	}
	return 0;
}
