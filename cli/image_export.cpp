// image export.
#include "cli/commands.hpp"
#include "cli/output_file.hpp"
#include "cli/terminal.hpp"
#include "cli/transfer.hpp"
#include "lib/image.hpp"

#include <fmt/format.h>
#include <memory>
#include <optional>
#include <unistd.h>

namespace capsul::cli {
namespace {

namespace fs = std::filesystem;

struct ExportFlags {
    std::string name;
    std::string file;
    std::string format;
    bool compress = false;
    bool force = false;
};

/// What the name of the file ends with, where that tells.
ExportFormat format_of(const ExportFlags& flags) {
    if (!flags.format.empty()) {
        return parse_option<ExportFormat>("--format", flags.format);
    }
    const std::string ending = fs::path(flags.file).extension().string();
    return ending == ".ova"                       ? ExportFormat::ova
           : ending == ".vmdk"                    ? ExportFormat::vmdk
           : ending == ".raw" || ending == ".img" ? ExportFormat::raw
                                                  : ExportFormat::qcow2;
}

ImageExport call_of(const ExportFlags& flags) {
    const ImageExport call{Name::parse(flags.name), format_of(flags), flags.compress};
    if (call.compress && call.format == ExportFormat::raw) {
        throw Error(
            ErrorCode::invalid, "--compress: a raw disk cannot be compressed",
            fmt::format("compress it on its way: capsulctl image export {} - --format raw | zstd > FILE",
                        flags.name));
    }
    if (flags.force && flags.file == "-") {
        throw Error(ErrorCode::invalid, "--force: there is no file to replace");
    }
    if (flags.file == "-" && is_terminal(STDOUT_FILENO)) {
        throw Error(ErrorCode::invalid, "FILE: standard output is a terminal", "pipe or redirect it");
    }
    return call;
}

/// A kernel of its own is not in the disk; the identity of the VM that it was is.
void note_what_is_in_it(Session& session, const std::string& subject, const Image& image) {
    if (image.boot) {
        session.note(subject + ": its kernel, with which it boots, is not in the file");
    }
    if (image.published && image.published->reset && !image.published->cleaned) {
        session.note(
            fmt::format("{}: the file holds the identity of {}: only this capsul gives VMs made from "
                        "it one of their own",
                        subject, image.published->vm.to_string()));
    }
}

void export_image(Session& session, const ExportFlags& flags) {
    const ImageExport call = call_of(flags);
    const std::string subject = "image " + flags.name;
    about(subject, [&] {
        const Image image = session.client().call(ImageShow{call.name});
        if (flags.file == "-") {
            receive_file(session, subject, session.run(call, subject), [&](std::string_view piece) {
                session.out().write(piece);
                return !session.out().reader_gone();
            });
            note_what_is_in_it(session, subject, image);
            return;
        }
        OutputFile file(flags.file, flags.force);
        const Download download = session.run(call, subject);
        receive_file(session, subject, download, [&](std::string_view piece) {
            file.write(piece);
            return true;
        });
        file.finish();
        session.note(fmt::format("{}: written to {} as {}, {}", subject, flags.file, to_string(call.format),
                                 human_size(download.size)));
        note_what_is_in_it(session, subject, image);
    });
}

} // namespace

void add_image_export(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "export", "Write an image's disk to a file",
        "capsulctl image export debian-12 debian-12.qcow2 --compress\n"
        "capsulctl image export debian-12 debian-12.ova      # for VMware, VirtualBox and others\n"
        "capsulctl image export lab - --format raw | zstd > lab.raw.zst");
    auto flags = std::make_shared<ExportFlags>();
    command.add_option("NAME", flags->name, "The image")->required()->type_name("IMAGE");
    command.add_option("FILE", flags->file, "Where to, - for stdout")->required()->type_name("FILE");
    add_text(command, "--format", flags->format, "qcow2|raw|vmdk|ova",
             "Of the file (default: what its name ends with, or qcow2)");
    command.add_flag("--compress", flags->compress, "Make it smaller; an OVA always is, and raw never");
    command.add_flag("--force", flags->force, "Replace a file that is there");
    command.callback([&session, flags] { export_image(session, *flags); });
}

} // namespace capsul::cli
