// SPDX-License-Identifier: GPL-2.0
/*
 * Between C and the Rust side of IO page faults: exports, and wrappers for
 * what bindgen cannot reach. See iopf_rust.h.
 */
#define pr_fmt(fmt) "iopf: " fmt

#include <linux/debugfs.h>
#include <linux/mmu_context.h>
#include <linux/mmu_notifier.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/timer.h>
#include <linux/userfaultfd_k.h>
#include <linux/vmstat.h>

#include "iopf_rust.h"

EXPORT_SYMBOL_GPL(iopf_free_group);
EXPORT_SYMBOL_GPL(iommu_report_device_fault);
EXPORT_SYMBOL_GPL(iopf_queue_flush_dev);
EXPORT_SYMBOL_GPL(iopf_group_response);
EXPORT_SYMBOL_GPL(iopf_group_dequeue);
EXPORT_SYMBOL_GPL(iopf_queue_discard_partial);
EXPORT_SYMBOL_GPL(iopf_queue_add_device);
EXPORT_SYMBOL_GPL(iopf_queue_remove_device);
EXPORT_SYMBOL_GPL(iopf_queue_alloc);
EXPORT_SYMBOL_GPL(iopf_queue_free);
EXPORT_SYMBOL_GPL(iommu_sva_bind_device);
EXPORT_SYMBOL_GPL(iommu_sva_unbind_device);
EXPORT_SYMBOL_GPL(iommu_sva_get_pasid);
EXPORT_SYMBOL_GPL(iommu_attach_device_pasid);
EXPORT_SYMBOL_GPL(iommu_detach_device_pasid);
EXPORT_SYMBOL_NS_GPL(iommu_replace_device_pasid, "IOMMUFD_INTERNAL");
EXPORT_SYMBOL_NS_GPL(iommu_attach_handle_get, "IOMMUFD_INTERNAL");
EXPORT_SYMBOL_NS_GPL(iommu_attach_group_handle, "IOMMUFD_INTERNAL");
EXPORT_SYMBOL_NS_GPL(iommu_detach_group_handle, "IOMMUFD_INTERNAL");
EXPORT_SYMBOL_NS_GPL(iommu_replace_group_handle, "IOMMUFD_INTERNAL");

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "iommu_iopf."

static unsigned int fault_around_kb = 64;
module_param(fault_around_kb, uint, 0644);
MODULE_PARM_DESC(fault_around_kb,
		 "KiB made present at most for one fault of a sequential walk; 0 is off");

static unsigned int uffd_wait_ms = 10000;
module_param(uffd_wait_ms, uint, 0644);
MODULE_PARM_DESC(uffd_wait_ms,
		 "How long a fault waits for a userfaultfd handler before it is answered invalid");

static bool overflow_answers = true;
module_param(overflow_answers, bool, 0644);
MODULE_PARM_DESC(overflow_answers,
		 "Answer incomplete groups when a page request queue overflows (N: forget them)");

unsigned int iopf_rust_around_kb(void)
{
	return READ_ONCE(fault_around_kb);
}

unsigned int iopf_rust_uffd_wait_ms(void)
{
	return READ_ONCE(uffd_wait_ms);
}

bool iopf_rust_overflow_answers(void)
{
	return READ_ONCE(overflow_answers);
}

struct iommu_group *iopf_rust_dev_group(struct device *dev)
{
	return dev->iommu_group;
}

bool iopf_rust_user_pasid_table(struct device *dev)
{
	return dev_iommu_ops(dev)->user_pasid_table;
}

bool iopf_rust_has_page_response(struct device *dev)
{
	return dev_iommu_ops(dev)->page_response;
}

void iopf_rust_param_lock(struct device *dev)
{
	mutex_lock(&dev->iommu->lock);
}

void iopf_rust_param_unlock(struct device *dev)
{
	mutex_unlock(&dev->iommu->lock);
}

void *iopf_rust_param_get(struct device *dev)
{
	return rcu_dereference(dev->iommu->fault_param);
}

void **iopf_rust_param(struct device *dev)
{
	lockdep_assert_held(&dev->iommu->lock);
	return (void __force **)&dev->iommu->fault_param;
}

void iopf_rust_page_response(struct device *dev, u32 flags, u32 pasid, u32 grpid, u32 code)
{
	struct iopf_fault evt = {
		.fault = {
			.type = IOMMU_FAULT_PAGE_REQ,
			.prm = {
				.flags = flags,
				.pasid = pasid,
				.grpid = grpid,
			},
		},
	};
	struct iommu_page_response resp = {
		.pasid = pasid,
		.grpid = grpid,
		.code = code,
	};

	dev_iommu_ops(dev)->page_response(dev, &evt, &resp);
}

void iopf_rust_warn_aborted(struct device *dev, u32 pasid, const char *why)
{
	dev_warn_ratelimited(dev, "iopf with pasid %u aborted: %s\n", pasid, why);
}

void iopf_rust_warn_busy(struct device *dev, u32 pasid, const char *holder)
{
	dev_warn_ratelimited(dev, "sva: pasid %u is held by %s\n", pasid, holder);
}

void iopf_rust_warn_misuse(const char *what)
{
	WARN_ONCE(1, "iopf: %s\n", what);
}

struct workqueue_struct *iopf_rust_alloc_queue(const char *kind, const char *name)
{
	return alloc_workqueue("%s/%s", WQ_UNBOUND, 0, kind, name);
}

void iopf_rust_flush_queue(struct workqueue_struct *wq)
{
	flush_workqueue(wq);
}

static DEFINE_MUTEX(iommu_sva_lock);

void iopf_rust_sva_lock(void)
{
	mutex_lock(&iommu_sva_lock);
}

void iopf_rust_sva_unlock(void)
{
	mutex_unlock(&iommu_sva_lock);
}

/*
 * Drivers look whether there is one. Groups of SVA domains go to their worker
 * without passing through here.
 */
static int sva_iopf_handler(struct iopf_group *group)
{
	iopf_rust_warn_misuse("a group was handed to an SVA domain");
	return -EINVAL;
}

struct iommu_domain *iopf_rust_sva_domain_alloc(struct device *dev, struct mm_struct *mm)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);
	struct iommu_domain *domain;

	if (!ops->domain_alloc_sva)
		return ERR_PTR(-EOPNOTSUPP);

	domain = ops->domain_alloc_sva(dev, mm);
	if (IS_ERR(domain))
		return domain;

	domain->type = IOMMU_DOMAIN_SVA;
	domain->cookie_type = IOMMU_COOKIE_SVA;
	mmgrab(mm);
	domain->mm = mm;
	domain->owner = ops;
	domain->iopf_handler = sva_iopf_handler;

	return domain;
}

struct mm_struct *iopf_rust_domain_mm(struct iommu_domain *domain)
{
	return domain->mm;
}

u32 iopf_rust_dev_max_pasids(struct device *dev)
{
	return dev->iommu->max_pasids;
}

bool iopf_rust_dma_compat(struct mm_struct *mm)
{
	return arch_pgtable_dma_compat(mm);
}

struct iommu_mm_data *iopf_rust_mm_data(struct mm_struct *mm)
{
	return READ_ONCE(mm->iommu_mm);
}

void iopf_rust_publish_mm_data(struct mm_struct *mm, struct iommu_mm_data *data)
{
	/* Readers (mm_get_enqcmd_pasid()) must not see the pointer before what it points to. */
	smp_store_release(&mm->iommu_mm, data);
}

void iopf_rust_invalidate(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	mmu_notifier_arch_invalidate_secondary_tlbs(mm, start, end);
}

int iopf_rust_mm_users(struct mm_struct *mm)
{
	return atomic_read(&mm->mm_users);
}

bool iopf_rust_vma_waits(struct vm_area_struct *vma)
{
	return userfaultfd_armed(vma);
}

bool iopf_rust_vma_around(struct vm_area_struct *vma)
{
	const vm_flags_t never = VM_IO | VM_PFNMAP | VM_HUGETLB | VM_RAND_READ;

	return !(vma->vm_flags & never) && !userfaultfd_armed(vma);
}

bool iopf_rust_memory_to_spare(unsigned long pages)
{
	/*
	 * Twice what the kernel keeps for itself: far enough above the
	 * watermarks that nothing is reclaimed.
	 */
	return global_zone_page_state(NR_FREE_PAGES) > 2 * totalreserve_pages + pages;
}

const char *iopf_rust_dev_name(struct device *dev)
{
	return dev_name(dev);
}

u64 iopf_rust_now_ns(void)
{
	return ktime_get_ns();
}

u64 iopf_rust_clock_ns(void)
{
	return local_clock();
}

/*
 * userfaultfd sleeps until its user wakes it, whoever faulted: a worker can be
 * neither killed nor timed out. So a timer looks, and wakes the worker when its
 * waiting is over. handle_userfault() then returns VM_FAULT_RETRY. Other sleeps
 * of the fault path look at their condition again.
 */
struct iopf_rust_waiter {
	struct timer_list timer;
	struct task_struct *task;
	void *waiting;
};

#define WAIT_LOOK msecs_to_jiffies(10)

static void wait_look(struct timer_list *timer)
{
	struct iopf_rust_waiter *waiter = timer_container_of(waiter, timer, timer);

	if (iopf_rust_wait_over(waiter->waiting))
		wake_up_process(waiter->task);
	/* Again, even so: the worker may not have been asleep yet. */
	mod_timer(timer, jiffies + WAIT_LOOK);
}

vm_fault_t iopf_rust_fault_waiting(struct vm_area_struct *vma,
				   unsigned long addr, unsigned int flags,
				   void *waiting)
{
	struct iopf_rust_waiter waiter = { .task = current, .waiting = waiting };
	vm_fault_t ret;

	timer_setup_on_stack(&waiter.timer, wait_look, 0);
	mod_timer(&waiter.timer, jiffies + WAIT_LOOK);
	ret = handle_mm_fault(vma, addr, flags, NULL);
	timer_delete_sync(&waiter.timer);
	timer_destroy_on_stack(&waiter.timer);

	return ret;
}

static int iopf_bonds_show(struct seq_file *m, void *unused)
{
	return iopf_rust_bonds_show(m, unused);
}
DEFINE_SHOW_ATTRIBUTE(iopf_bonds);

static int __init iopf_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("iommu_iopf", NULL);

	debugfs_create_file("bonds", 0400, dir, NULL, &iopf_bonds_fops);
	return 0;
}
late_initcall(iopf_debugfs_init);
