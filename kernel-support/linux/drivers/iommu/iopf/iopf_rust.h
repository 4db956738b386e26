/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the Rust side of IO page faults calls in C, and what C calls in it.
 *
 * The functions of glue.c wrap what bindgen cannot reach (macros, static
 * inlines, statics); those of iommu.c are the group internals, which stay
 * private to it. No decision is taken in either.
 */
#ifndef __IOPF_RUST_H
#define __IOPF_RUST_H

#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/workqueue.h>

#include "../iommu-priv.h"

/* What an entry of group->pasid_array points to. The Rust side has more behind it. */
struct iopf_rust_owner {
	struct iommu_domain *domain;
};

/* iommu.c. All but the first two and the last want group->mutex held. */
void iopf_rust_group_lock(struct iommu_group *group);
void iopf_rust_group_unlock(struct iommu_group *group);
bool iopf_rust_group_in_recovery(struct iommu_group *group);
int iopf_rust_check_pasid(struct iommu_group *group, ioasid_t pasid);
int iopf_rust_set_group_pasid(struct iommu_domain *domain,
			      struct iommu_group *group, ioasid_t pasid,
			      struct iommu_domain *old);
void iopf_rust_remove_group_pasid(struct iommu_group *group, ioasid_t pasid,
				  struct iommu_domain *domain);
int iopf_rust_attach_group(struct iommu_domain *domain, struct iommu_group *group);
int iopf_rust_set_group_domain(struct iommu_group *group, struct iommu_domain *domain);
void iopf_rust_set_core_domain(struct iommu_group *group);
int iopf_rust_entry_reserve(struct iommu_group *group, ioasid_t pasid);
void iopf_rust_entry_release(struct iommu_group *group, ioasid_t pasid);
void iopf_rust_entry_publish(struct iommu_group *group, ioasid_t pasid,
			     struct iopf_rust_owner *owner);
struct iopf_rust_owner *iopf_rust_entry(struct iommu_group *group, ioasid_t pasid);
void iopf_rust_entry_erase(struct iommu_group *group, ioasid_t pasid);
bool iopf_rust_compatible(struct device *dev, struct iommu_domain *domain);
bool iopf_rust_can_block_pasid(struct device *dev);
void **iopf_rust_group_table(struct iommu_group *group);

/* glue.c */
struct iommu_group *iopf_rust_dev_group(struct device *dev);
bool iopf_rust_user_pasid_table(struct device *dev);
bool iopf_rust_has_page_response(struct device *dev);
void iopf_rust_param_lock(struct device *dev);
void iopf_rust_param_unlock(struct device *dev);
void *iopf_rust_param_get(struct device *dev);
void **iopf_rust_param(struct device *dev);
void iopf_rust_page_response(struct device *dev, u32 flags, u32 pasid, u32 grpid, u32 code);
void iopf_rust_warn_aborted(struct device *dev, u32 pasid, const char *why);
void iopf_rust_warn_busy(struct device *dev, u32 pasid, const char *holder);
void iopf_rust_warn_misuse(const char *what);
struct workqueue_struct *iopf_rust_alloc_queue(const char *format, const char *name);
void iopf_rust_flush_queue(struct workqueue_struct *wq);
void iopf_rust_sva_lock(void);
void iopf_rust_sva_unlock(void);
struct iommu_domain *iopf_rust_sva_domain_alloc(struct device *dev, struct mm_struct *mm);
struct mm_struct *iopf_rust_domain_mm(struct iommu_domain *domain);
u32 iopf_rust_dev_max_pasids(struct device *dev);
bool iopf_rust_dma_compat(struct mm_struct *mm);
struct iommu_mm_data *iopf_rust_mm_data(struct mm_struct *mm);
void iopf_rust_publish_mm_data(struct mm_struct *mm, struct iommu_mm_data *data);
void iopf_rust_invalidate(struct mm_struct *mm, unsigned long start, unsigned long end);
int iopf_rust_mm_users(struct mm_struct *mm);
bool iopf_rust_vma_waits(struct vm_area_struct *vma);
bool iopf_rust_vma_around(struct vm_area_struct *vma);
bool iopf_rust_memory_to_spare(unsigned long pages);
vm_fault_t iopf_rust_fault_waiting(struct vm_area_struct *vma,
				   unsigned long addr, unsigned int flags,
				   void *waiting);
const char *iopf_rust_dev_name(struct device *dev);
u64 iopf_rust_now_ns(void);
u64 iopf_rust_clock_ns(void);
unsigned int iopf_rust_around_kb(void);
unsigned int iopf_rust_uffd_wait_ms(void);
bool iopf_rust_overflow_answers(void);

/* Rust */
void iopf_rust_table_free(void *table);
bool iopf_rust_wait_over(void *waiting);
int iopf_rust_bonds_show(struct seq_file *m, void *unused);

#endif /* __IOPF_RUST_H */
