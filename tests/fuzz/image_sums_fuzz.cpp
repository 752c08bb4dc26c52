// Any bytes as checksums, with or without a signature around them, or as the listing of a folder: read, or
// passed over; never led out of the folder.
#include "tests/fuzz/catalogue_checks.hpp"

namespace {

capsul::FolderImage image(const char* name, const char* file, const char* sums) {
    capsul::FolderImage one;
    one.name = capsul::Name::parse(name);
    one.file = capsul::FilePattern::parse(file);
    one.sums = capsul::SumsPath::parse(sums);
    one.signature = capsul::SignatureForm::parse("clearsigned");
    one.image_signature = capsul::SignatureForm::parse(".sig");
    return one;
}

capsul::ImageSource make_source() {
    auto source = capsul::fuzzed_source(capsul::SourceKind::folder, "https://example.org/images/");
    source.images = {image("plain", "a.qcow2", "SUMS"), image("dated", "a{version}", "SUMS"),
                     image("twice", "a{version}-{version}", "SUMS"),
                     image("listed", "a{version}", "x/{file}.s")};
    return source;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const capsul::ImageSource source = make_source();
    static const auto documents = capsul::documents_of(source, {capsul::Architecture::x86_64});
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    capsul::check_documents(source, documents, text);
    return 0;
}
