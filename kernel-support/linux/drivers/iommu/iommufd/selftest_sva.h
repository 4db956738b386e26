/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mock device as one that shares address spaces: what its file descriptor
 * takes. For tests, of the C and of the Rust build alike.
 */
#ifndef _UAPI_IOMMUFD_SELFTEST_SVA_H
#define _UAPI_IOMMUFD_SELFTEST_SVA_H

#include <linux/ioctl.h>
#include <linux/types.h>

enum {
	/* Binds the caller's mm. out[0]: PASID. */
	MOCK_SVA_BIND,
	MOCK_SVA_UNBIND,
	/*
	 * Reports one page request: pasid, grpid, perm, flags
	 * (IOMMU_FAULT_PAGE_REQUEST_*), addr.
	 */
	MOCK_SVA_REPORT,
	/* Waits timeout_ms for the answer of grpid. out[0]: its code. */
	MOCK_SVA_WAIT,
	/* The page request queue overflowed. */
	MOCK_SVA_OVERFLOW,
	/* out: reported groups, success, invalid, failure, answers nobody waited for. */
	MOCK_SVA_STATS,
	/*
	 * Attaches a paging domain at pasid, or detaches it: without a handle, or
	 * (flags 1) with one and a fault handler that keeps its groups.
	 */
	MOCK_SVA_ATTACH,
	MOCK_SVA_DETACH,
	/*
	 * Frees the group that was kept longest, not answered, or (flags 1) once it
	 * is. out[0]: how many requests it had.
	 */
	MOCK_SVA_FREE_KEPT,
	/* iommu_attach_handle_get(pasid, any type): the errno, or 0. */
	MOCK_SVA_LOOKUP,
	/*
	 * The device touches len bytes from addr, page by page (flags 1: in
	 * random order, seeded by grpid), and requests what is not present. out:
	 * page requests, nanoseconds, pages that were denied.
	 */
	MOCK_SVA_TOUCH,
	/* Reports len faults at addr and waits for each. out: successes, nanoseconds. */
	MOCK_SVA_HAMMER,
};

struct mock_sva_cmd {
	__u32 op;
	__u32 flags;
	__u32 pasid;
	__u32 grpid;
	__u32 perm;
	__u32 timeout_ms;
	__u64 addr;
	__u64 len;
	__u64 out[5];
};

#define MOCK_SVA_IOCTL _IOWR(';', 0xf0, struct mock_sva_cmd)

#ifdef __KERNEL__
struct device;
struct iommu_page_response;
struct iommufd_ctx;
struct iopf_queue;

void iommufd_test_sva_response(struct device *dev,
			       struct iommu_page_response *msg);
int iommufd_test_sva_open(struct iommufd_ctx *ictx, struct device *dev,
			  struct iopf_queue *queue);
#endif

#endif
