// Backups of VMs: the calls that make an archive of a VM, and a VM of an archive.
#pragma once

#include "lib/vm.hpp"

#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace capsul {

/// What the disks in a backup are. `stopped`: nobody wrote. `frozen`: the guest's file systems were at rest.
/// `crash`: as after a power cut, since no agent put them to rest.
enum class Consistency { stopped, frozen, crash };
template <>
struct EnumWords<Consistency> {
    static constexpr std::array<std::pair<Consistency, std::string_view>, 3> words{
        {{Consistency::stopped, "stopped"}, {Consistency::frozen, "frozen"}, {Consistency::crash, "crash"}}};
};

/// An archive that waits to be fetched.
struct BackedUp {
    Name vm;
    Timestamp created; ///< the moment that it is of
    Consistency consistency = Consistency::crash;
    bool has_image = true;
    Download archive;
    static constexpr auto fields() {
        return field_list(required("vm", &BackedUp::vm), required("created", &BackedUp::created),
                          required("consistency", &BackedUp::consistency),
                          required("has_image", &BackedUp::has_image),
                          required("archive", &BackedUp::archive));
    }
};
/// Makes an archive of a VM, running or not: its record, its seed, its disks as of one moment, and with
/// `image` what it is made from. Not its snapshots.
struct VmBackup {
    Name name;
    bool image = true;
    using Result = BackedUp;
    static constexpr Route route{Method::post, "/v1/vms/{name}/backup", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmBackup::name), optional("image", &VmBackup::image));
    }
};

/// One network in the place of another.
struct NetworkChange {
    Name from;
    Name to;
    /// "OLD=NEW"; throws Error (invalid).
    [[nodiscard]] static NetworkChange from_text(std::string_view text);
    static constexpr auto fields() {
        return field_list(required("from", &NetworkChange::from), required("to", &NetworkChange::to));
    }
};

struct FromBackup {
    Vm vm;
    Timestamp created; ///< the moment that the backup is of
    Consistency consistency = Consistency::crash;
    std::optional<Name> image;           ///< that came with it; nothing when there was one already
    std::vector<PublishedPort> left_out; ///< ports that it published and does not any more
    static constexpr auto fields() {
        return field_list(required("vm", &FromBackup::vm), required("created", &FromBackup::created),
                          required("consistency", &FromBackup::consistency),
                          required("image", &FromBackup::image), required("left_out", &FromBackup::left_out));
    }
};
/// Makes a VM of an archive that was sent. Without `as` it is the very machine: its name, UUID, MACs and
/// addresses are those of before, and ports that are taken are left out. With `as` it is another one, with an
/// identity and addresses of its own, and publishes nothing but `publish`.
struct BackupRestore {
    Uuid archive; ///< an upload
    std::optional<Name> as;
    std::vector<NetworkChange> networks;
    std::vector<PublishedPort> publish; ///< instead of those in the backup, unless empty
    bool start = false;
    using Result = FromBackup;
    static constexpr Route route{Method::post, "/v1/restores", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("archive", &BackupRestore::archive), optional("as", &BackupRestore::as),
                          optional("networks", &BackupRestore::networks),
                          optional("publish", &BackupRestore::publish),
                          optional("start", &BackupRestore::start));
    }
};

} // namespace capsul
