#include "daemon/image_files.hpp"

#include "lib/error.hpp"

#include <fcntl.h>
#include <fmt/format.h>
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

std::set<std::string> files_of(const Digest& disk, const std::optional<DirectKernel>& boot) {
    std::set<std::string> names{disk_file_name(disk)};
    if (boot) {
        names.insert(kernel_file_name(boot->kernel));
    }
    if (boot && boot->initrd) {
        names.insert(initrd_file_name(*boot->initrd));
    }
    return names;
}

std::string missing_file(const fs::path& folder, const ImageRecord& record) {
    for (const std::string& name : files_of(record.digest, record.boot)) {
        std::error_code unreadable;
        if (!fs::is_regular_file(folder / name, unreadable)) {
            return fmt::format("its file {} is missing", (folder / name).string());
        }
    }
    return {};
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

std::optional<std::set<std::string>> needed_files(Store& store, const std::set<Name>& without) {
    std::set<std::string> names;
    for (const auto& image : store.images.list()) {
        if (!image.record) {
            return std::nullopt;
        }
        if (!without.contains(image.name)) {
            names.merge(files_of(image.record->digest, image.record->boot));
        }
    }
    for (const auto& vm : store.vms.list()) {
        if (!vm.record) {
            return std::nullopt;
        }
        names.merge(files_of(vm.record->image_digest, vm.record->boot));
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
