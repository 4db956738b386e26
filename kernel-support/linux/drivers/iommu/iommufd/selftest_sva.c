// SPDX-License-Identifier: GPL-2.0
/*
 * The mock device as one that shares address spaces: it binds the caller's mm,
 * touches its memory as a device with ATS and PRI would, and writes down every
 * page response. See selftest_sva.h.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "../iommu-priv.h"
#include "iommufd_private.h"
#include "iommufd_test.h"
#include "selftest_sva.h"

#define GROUPS 512

static DEFINE_SPINLOCK(engines_lock);
static LIST_HEAD(engines);

/* One open file. Answers go to every engine of their device that has their PASID. */
struct engine {
	struct list_head node;
	struct device *dev;
	struct iopf_queue *queue;
	struct file *iommufd;
	struct mutex lock;
	struct iommu_sva *sva;
	struct iommu_domain *paging;
	u32 paging_pasid;
	struct iommu_attach_handle handle;
	/* Under engines_lock from here. */
	struct list_head kept;
	u32 pasid;
	DECLARE_BITMAP(pending, GROUPS);
	u8 codes[GROUPS];
	u64 reported, answers[3], unexpected;
	wait_queue_head_t answered;
};

void iommufd_test_sva_response(struct device *dev, struct iommu_page_response *msg)
{
	struct engine *engine;

	spin_lock(&engines_lock);
	list_for_each_entry(engine, &engines, node) {
		if (engine->dev != dev || engine->pasid != msg->pasid)
			continue;
		if (msg->code < 3)
			engine->answers[msg->code]++;
		if (msg->grpid < GROUPS && test_and_clear_bit(msg->grpid, engine->pending))
			engine->codes[msg->grpid] = msg->code;
		else
			engine->unexpected++;
		wake_up(&engine->answered);
	}
	spin_unlock(&engines_lock);
}

static int engine_report(struct engine *engine, const struct mock_sva_cmd *cmd)
{
	struct iopf_fault event = {
		.fault = {
			.type = IOMMU_FAULT_PAGE_REQ,
			.prm = {
				.flags = cmd->flags,
				.pasid = cmd->pasid,
				.grpid = cmd->grpid,
				.perm = cmd->perm,
				.addr = cmd->addr,
			},
		},
	};

	if (cmd->grpid >= GROUPS)
		return -EINVAL;
	spin_lock(&engines_lock);
	if (!test_and_set_bit(cmd->grpid, engine->pending))
		engine->reported++;
	spin_unlock(&engines_lock);

	return iommu_report_device_fault(engine->dev, &event);
}

static long engine_wait(struct engine *engine, u32 grpid, u32 timeout_ms)
{
	long left;

	if (grpid >= GROUPS)
		return -EINVAL;
	left = wait_event_killable_timeout(engine->answered, !test_bit(grpid, engine->pending),
					   msecs_to_jiffies(timeout_ms));
	if (left <= 0)
		return left ? left : -ETIME;
	return engine->codes[grpid];
}

/* Whether a device would find the page in the IOMMU's tables: the process's own. */
static bool present(unsigned long addr, u32 perm)
{
	unsigned int flags = perm & IOMMU_FAULT_PERM_WRITE ? FOLL_WRITE : 0;
	struct page *page;

	if (get_user_pages_fast_only(addr, 1, flags, &page) != 1)
		return false;
	put_page(page);
	return true;
}

static int engine_touch(struct engine *engine, struct mock_sva_cmd *cmd)
{
	u64 pages = cmd->len >> PAGE_SHIFT, i, start = ktime_get_ns();
	struct mock_sva_cmd request = *cmd;
	struct rnd_state rnd;
	long code;

	memset(cmd->out, 0, sizeof(cmd->out));
	prandom_seed_state(&rnd, cmd->grpid);
	request.flags = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE | IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
	for (i = 0; i < pages; i++) {
		u64 at = cmd->flags & 1 ? ((u64)prandom_u32_state(&rnd) * pages) >> 32 : i;

		request.addr = cmd->addr + (at << PAGE_SHIFT);
		request.grpid = i % GROUPS;
		if (present(request.addr, cmd->perm))
			continue;
		cmd->out[0]++;
		engine_report(engine, &request);
		code = engine_wait(engine, request.grpid, 10000);
		if (code < 0)
			return code;
		if (code)
			cmd->out[2]++;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	cmd->out[1] = ktime_get_ns() - start;
	return 0;
}

static int engine_hammer(struct engine *engine, struct mock_sva_cmd *cmd)
{
	u64 start = ktime_get_ns(), i;
	struct mock_sva_cmd request = *cmd;
	long code;

	memset(cmd->out, 0, sizeof(cmd->out));
	request.flags = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE | IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
	for (i = 0; i < cmd->len; i++) {
		engine_report(engine, &request);
		code = engine_wait(engine, request.grpid, 10000);
		if (code < 0)
			return code;
		cmd->out[0] += !code;
	}
	cmd->out[1] = ktime_get_ns() - start;
	return 0;
}

static void engine_unbind(struct engine *engine)
{
	if (engine->sva)
		iommu_sva_unbind_device(engine->sva);
	engine->sva = NULL;
}

static int engine_bind(struct engine *engine, struct mock_sva_cmd *cmd)
{
	struct iommu_sva *sva;

	if (engine->sva)
		return -EALREADY;
	sva = iommu_sva_bind_device(engine->dev, current->mm);
	if (IS_ERR(sva))
		return PTR_ERR(sva);
	engine->sva = sva;
	cmd->out[0] = iommu_sva_get_pasid(sva);
	spin_lock(&engines_lock);
	engine->pasid = cmd->out[0];
	spin_unlock(&engines_lock);
	return 0;
}

/* A fault handler that keeps its groups, as iommufd's does. */
static int engine_keep(struct iopf_group *group)
{
	struct engine *engine = container_of(group->attach_handle, struct engine, handle);

	iopf_group_dequeue(group);
	spin_lock(&engines_lock);
	list_add_tail(&group->node, &engine->kept);
	spin_unlock(&engines_lock);
	return 0;
}

/* Frees the group that was kept longest. How many requests it had. */
static int engine_free_kept(struct engine *engine, bool answer)
{
	struct iopf_group *group;
	int requests;

	spin_lock(&engines_lock);
	group = list_first_entry_or_null(&engine->kept, struct iopf_group, node);
	if (group)
		list_del(&group->node);
	spin_unlock(&engines_lock);
	if (!group)
		return -ENOENT;
	requests = list_count_nodes(&group->faults);
	if (answer)
		iopf_group_response(group, IOMMU_PAGE_RESP_SUCCESS);
	iopf_free_group(group);
	return requests;
}

static int engine_attach(struct engine *engine, u32 pasid, bool keep)
{
	struct iommu_domain *domain;
	int ret;

	if (engine->paging)
		return -EALREADY;
	domain = iommu_paging_domain_alloc(engine->dev);
	if (IS_ERR(domain))
		return PTR_ERR(domain);
	if (keep)
		domain->iopf_handler = engine_keep;
	ret = iommu_attach_device_pasid(domain, engine->dev, pasid, keep ? &engine->handle : NULL);
	if (ret) {
		iommu_domain_free(domain);
		return ret;
	}
	engine->paging = domain;
	engine->paging_pasid = pasid;
	return 0;
}

static void engine_detach(struct engine *engine)
{
	if (!engine->paging)
		return;
	iommu_detach_device_pasid(engine->paging, engine->dev, engine->paging_pasid);
	iommu_domain_free(engine->paging);
	engine->paging = NULL;
}

static long engine_do(struct engine *engine, struct mock_sva_cmd *cmd)
{
	struct iommu_attach_handle *handle;
	long code;
	int ret = 0;

	switch (cmd->op) {
	case MOCK_SVA_REPORT:
		return engine_report(engine, cmd);
	case MOCK_SVA_WAIT:
		code = engine_wait(engine, cmd->grpid, cmd->timeout_ms);
		cmd->out[0] = code;
		return code < 0 ? code : 0;
	case MOCK_SVA_OVERFLOW:
		return iopf_queue_discard_partial(engine->queue);
	case MOCK_SVA_STATS:
		spin_lock(&engines_lock);
		cmd->out[0] = engine->reported;
		memcpy(&cmd->out[1], engine->answers, sizeof(engine->answers));
		cmd->out[4] = engine->unexpected;
		spin_unlock(&engines_lock);
		return 0;
	case MOCK_SVA_LOOKUP:
		handle = iommu_attach_handle_get(engine->dev->iommu_group, cmd->pasid, 0);
		return PTR_ERR_OR_ZERO(handle);
	case MOCK_SVA_FREE_KEPT:
		ret = engine_free_kept(engine, cmd->flags & 1);
		cmd->out[0] = ret;
		return ret < 0 ? ret : 0;
	case MOCK_SVA_TOUCH:
		return engine_touch(engine, cmd);
	case MOCK_SVA_HAMMER:
		return engine_hammer(engine, cmd);
	}

	mutex_lock(&engine->lock);
	switch (cmd->op) {
	case MOCK_SVA_BIND:
		ret = engine_bind(engine, cmd);
		break;
	case MOCK_SVA_UNBIND:
		engine_unbind(engine);
		break;
	case MOCK_SVA_ATTACH:
		ret = engine_attach(engine, cmd->pasid, cmd->flags & 1);
		break;
	case MOCK_SVA_DETACH:
		engine_detach(engine);
		break;
	default:
		ret = -ENOTTY;
	}
	mutex_unlock(&engine->lock);
	return ret;
}

static long engine_ioctl(struct file *file, unsigned int op, unsigned long arg)
{
	struct mock_sva_cmd __user *user = (void __user *)arg;
	struct mock_sva_cmd cmd;
	long ret;

	if (op != MOCK_SVA_IOCTL)
		return -ENOTTY;
	if (copy_from_user(&cmd, user, sizeof(cmd)))
		return -EFAULT;
	ret = engine_do(file->private_data, &cmd);
	if (copy_to_user(user, &cmd, sizeof(cmd)))
		return -EFAULT;
	return ret;
}

static int engine_release(struct inode *inode, struct file *file)
{
	struct engine *engine = file->private_data;

	engine_unbind(engine);
	engine_detach(engine);
	while (engine_free_kept(engine, true) >= 0)
		;
	spin_lock(&engines_lock);
	list_del(&engine->node);
	spin_unlock(&engines_lock);
	put_device(engine->dev);
	/* Last: with it goes the mock device. */
	fput(engine->iommufd);
	kfree(engine);
	return 0;
}

static const struct file_operations engine_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = engine_ioctl,
	.release = engine_release,
};

int iommufd_test_sva_open(struct iommufd_ctx *ictx, struct device *dev,
			  struct iopf_queue *queue)
{
	struct engine *engine = kzalloc_obj(*engine);
	int fd;

	if (!engine)
		return -ENOMEM;
	engine->dev = get_device(dev);
	engine->queue = queue;
	engine->iommufd = get_file(ictx->file);
	mutex_init(&engine->lock);
	INIT_LIST_HEAD(&engine->kept);
	init_waitqueue_head(&engine->answered);
	spin_lock(&engines_lock);
	list_add(&engine->node, &engines);
	spin_unlock(&engines_lock);
	fd = anon_inode_getfd("[mock-sva]", &engine_fops, engine, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		spin_lock(&engines_lock);
		list_del(&engine->node);
		spin_unlock(&engines_lock);
		put_device(dev);
		fput(engine->iommufd);
		kfree(engine);
	}
	return fd;
}
