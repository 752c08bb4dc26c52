// Making and removing VMs, and what a crash has left of them.
#pragma once

#include "daemon/backup_manifest.hpp"
#include "daemon/vm_guest.hpp"
#include "daemon/vm_nics.hpp"
#include "daemon/vm_plug.hpp"
#include "daemon/vm_power.hpp"
#include "lib/vm_disks.hpp"

#include <map>
#include <memory>
#include <mutex>

namespace capsul {

class VmService {
  public:
    VmService(const VmHost& host, const VmView& view, const VmPower& power)
        : host_(host), view_(view), power_(power), plug_(host, power) {}

    /// Finishes what a crash left half-done: VMs that were being made or deleted go. Then gets in touch with
    /// the VMs that run. Called once, before anything else.
    void recover();

    /// Checks everything that can be checked first, then makes it as an operation, undone whole on failure.
    Operation create(const VmCreate& call);
    /// The same for a copy of a stopped VM, as that one's next action.
    Operation clone(const VmClone& call);
    /// The same from a backup, beside what is done to other VMs.
    Operation restore(const BackupRestore& call);
    Operation remove(const Name& name);
    Operation add_nic(const VmNicAdd& call);
    Operation remove_nic(const VmNicRemove& call);

  private:
    /// A name, ports and addresses promised to a VM that has no record yet.
    class Claim {
      public:
        /// With plan_mutex_ held. Throws Error (exists) when a VM of that name is being made.
        Claim(VmService& service, const VmRecord& vm);
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;
        ~Claim();
        /// With plan_mutex_ held.
        void promise(const VmRecord& vm);

      private:
        VmService& service_;
        Name name_;
    };
    /// A VM that is to be made from a backup, and ports that it published and does not any more.
    struct RestorePlan {
        VmRecord vm;
        std::vector<PublishedPort> left_out;
    };
    VmRecord plan(const VmCreate& call, const ImageRecord& image) const;
    VmRecord plan_copy(const VmRecord& source, const VmClone& call) const;
    void check_new(const Name& name) const;
    void choose_network(VmRecord& vm, const std::vector<NicSpec>& nics) const;
    void choose_ports(VmRecord& vm, const OtherVms& present) const;
    void choose_ssh_port(VmRecord& vm, const std::vector<PublishedPort>& taken) const;
    void check_create(const VmCreate& call, const Name& name) const;
    Json make(const VmCreate& call, const Name& name, Progress& progress);
    Json make_copy(const VmClone& call, Progress& progress);
    void write_copy(const VmRecord& source, const VmClone& call, Claim& claim, Progress& progress);
    FromBackup make_from_backup(const fs::path& archive, const BackupRestore& call, Progress& progress);
    void check_restorable(const BackupManifest& manifest, const BackupRestore& call, const Name& name) const;
    [[nodiscard]] std::unique_ptr<Claim> claim_restored(const BackupManifest& manifest,
                                                        const BackupRestore& call);
    [[nodiscard]] RestorePlan plan_restored(const BackupManifest& manifest, const BackupRestore& call) const;
    [[nodiscard]] std::vector<PublishedPort> write_restored(const BackupManifest& manifest,
                                                            const BackupRestore& call, const fs::path& folder,
                                                            const Name& image, Claim& claim);
    void undo(const Name& name, Progress& progress) const;
    [[nodiscard]] OtherVms others(const Name& name) const;

    const VmHost& host_;
    const VmView& view_;
    const VmPower& power_;
    const VmPlug plug_;
    std::mutex plan_mutex_;                                   ///< held while a VM gets ports and addresses
    std::map<Name, std::shared_ptr<const VmRecord>> claimed_; ///< VMs that are being made
};

} // namespace capsul
