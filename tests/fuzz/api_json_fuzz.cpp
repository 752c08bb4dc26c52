// Any bytes as a request: decoded, or refused with an Error. What was decoded survives a round trip.
#include "lib/backup.hpp"
#include "lib/error.hpp"
#include "lib/image_build.hpp"
#include "lib/image_pull.hpp"
#include "lib/network.hpp"
#include "lib/operation.hpp"
#include "lib/vm_disks.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

template <class Call>
void try_body(std::string_view text) {
    try {
        const capsul::Json once = capsul::encode(capsul::parse<Call>(text));
        if (capsul::encode(capsul::parse<Call>(capsul::dump_json(once))) != once) {
            std::abort();
        }
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch): refusing is right
    }
}

template <class Call>
void try_query(std::string_view text) {
    try {
        static_cast<void>(capsul::decode<Call>(capsul::query_to_json<Call>(capsul::parse_query(text))));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch)
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try_body<capsul::VmCreate>(text);
    try_body<capsul::VmRecord>(text);
    try_body<capsul::VmNicAdd>(text);
    try_body<capsul::VmResize>(text);
    try_body<capsul::VmDiskAdd>(text);
    try_body<capsul::VmClone>(text);
    try_body<capsul::BackupRestore>(text);
    try_body<capsul::NetworkCreate>(text);
    try_body<capsul::NetworkSet>(text);
    try_body<capsul::NetworkRecord>(text);
    try_body<capsul::ImageImport>(text);
    try_body<capsul::ImageRecord>(text);
    try_body<capsul::ImagePrune>(text);
    try_body<capsul::ImageSearch>(text);
    try_body<capsul::ImagePull>(text);
    try_body<capsul::ImageBuild>(text);
    try_body<capsul::AliasRecord>(text);
    try_query<capsul::VmList>(text);
    try_query<capsul::UploadFile>(text);
    try_query<capsul::EventList>(text);
    try {
        static_cast<void>(capsul::match_path("/v1/vms/{name}/start", text));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch)
    }
    return 0;
}
