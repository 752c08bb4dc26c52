#include "daemon/image_files.hpp"

#include "lib/error.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul {
namespace {

void make_durable_and_read_only(const fs::path& file) {
    const UniqueFd fd = open_file(file, O_RDONLY | O_NOFOLLOW);
    if (::fchmod(fd.get(), 0400) != 0 || ::fsync(fd.get()) != 0) {
        throw_errno(errno, file.string());
    }
}

bool is_filled_file(const fs::path& file) {
    struct stat status {};
    return ::lstat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
}

void add_files_of(const ImageRecord& record, std::set<std::string>& names) {
    names.insert(disk_file_name(record.digest));
    if (record.boot) {
        names.insert(kernel_file_name(record.boot->kernel));
        if (record.boot->initrd) {
            names.insert(initrd_file_name(*record.boot->initrd));
        }
    }
}

} // namespace

std::string disk_file_name(const Digest& digest) {
    return "sha256-" + digest.hex() + ".qcow2";
}
std::string kernel_file_name(const Digest& digest) {
    return "sha256-" + digest.hex() + ".kernel";
}
std::string initrd_file_name(const Digest& digest) {
    return "sha256-" + digest.hex() + ".initrd";
}

void prepare_file(const TemporaryFile& file, const fs::path& target) {
    if (!is_filled_file(target)) {
        make_durable_and_read_only(file.path());
    }
}

void place_file(TemporaryFile& file, const fs::path& target) {
    if (is_filled_file(target)) {
        return;
    }
    make_durable_and_read_only(file.path());
    file.rename_to(target);
    sync_folder(target.parent_path());
}

std::optional<std::set<std::string>> needed_files(Store& store) {
    std::set<std::string> names;
    for (const auto& image : store.images.list()) {
        if (!image.record) {
            return std::nullopt;
        }
        add_files_of(*image.record, names);
    }
    for (const auto& vm : store.vms.list()) {
        // Which kernel a VM boots is known from its image's record only.
        const auto image = vm.record ? store.images.find(vm.record->image) : std::nullopt;
        if (!image || !image->record || image->record->digest != vm.record->image_digest) {
            return std::nullopt;
        }
        names.insert(disk_file_name(vm.record->image_digest));
    }
    return names;
}

void remove_other_files(const fs::path& folder, const std::set<std::string>& needed) {
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(folder, missing)) {
        const std::string name = entry.path().filename().string();
        const bool ours = name.starts_with("sha256-") || name.starts_with(".");
        if (ours && !needed.contains(name)) {
            ::unlink(entry.path().c_str());
        }
    }
}

} // namespace capsul
