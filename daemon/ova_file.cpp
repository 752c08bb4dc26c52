#include "daemon/ova_file.hpp"

#include "daemon/digest.hpp"
#include "daemon/file_copy.hpp"
#include "daemon/ovf.hpp"
#include "daemon/tar_writer.hpp"

namespace capsul {

void write_ova(const std::filesystem::path& target, const Name& machine, const std::filesystem::path& vmdk,
               Bytes disk_size) {
    const std::string disk_name = machine.to_string() + "-disk1.vmdk";
    const std::string descriptor_name = machine.to_string() + ".ovf";
    Hash hash(Hash::Kind::sha256);
    for_each_piece(vmdk, [&](std::string_view piece) { hash.add(piece); });
    const std::string descriptor =
        ovf_descriptor(machine, disk_name, std::filesystem::file_size(vmdk), disk_size);
    TarWriter tar(target, {.work = "writing the OVA"});
    tar.add_text(descriptor_name, descriptor);
    tar.add_text(machine.to_string() + ".mf",
                 ovf_manifest({{descriptor_name, sha256_hex(descriptor)}, {disk_name, hash.finish()}}));
    tar.add_file(disk_name, vmdk);
    tar.finish();
}

} // namespace capsul
