// The commands of images: import, list, show, rm. Others are in image_pull, image_build, image_export,
// image_publish, image_names and image_space.
#include "cli/commands.hpp"
#include "cli/image_view.hpp"
#include "cli/input_file.hpp"
#include "cli/targets.hpp"
#include "cli/transfer.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct ImportFlags {
    std::string name;
    std::string file;
    std::string sha256;
    std::string sha512;
    std::string kernel;
    std::string initrd;
    std::string cmdline;
    bool if_not_exists = false;
};

void check_digest(const char* option, const std::string& hex, std::size_t length) {
    if (!hex.empty() &&
        (hex.size() != length || hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)) {
        throw Error(ErrorCode::invalid, fmt::format("{}: is not {} hexadecimal digits", option, length),
                    fmt::format("{}sum FILE prints it", option + 2));
    }
}

void check_flags(const ImportFlags& flags) {
    check_digest("--sha256", flags.sha256, 64);
    check_digest("--sha512", flags.sha512, 128);
    if (!flags.sha256.empty() && !flags.sha512.empty()) {
        throw Error(ErrorCode::invalid, "--sha256 and --sha512 exclude each other");
    }
    if (flags.kernel.empty() && !(flags.initrd.empty() && flags.cmdline.empty())) {
        throw Error(ErrorCode::invalid, "--initrd and --cmdline: go with --kernel");
    }
    const int from_stdin =
        (flags.file == "-" ? 1 : 0) + (flags.kernel == "-" ? 1 : 0) + (flags.initrd == "-" ? 1 : 0);
    if (from_stdin > 1) {
        throw Error(ErrorCode::invalid, "standard input (-) can be given once only");
    }
}

std::string lower(std::string hex) {
    std::ranges::transform(hex, hex.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return hex;
}

UploadFile disk_upload(const ImportFlags& flags) {
    UploadFile call;
    if (!flags.sha256.empty()) {
        call.sha256 = lower(flags.sha256);
    }
    if (!flags.sha512.empty()) {
        call.sha512 = lower(flags.sha512);
    }
    return call;
}

std::optional<Image> existing_image(Session& session, const Name& name) {
    for (const Image& image : session.client().call(ImageList{})) {
        if (image.name == name || std::ranges::find(image.aliases, name) != image.aliases.end()) {
            return image;
        }
    }
    return std::nullopt;
}

/// Every file is opened before a byte is sent: a mistake in the last one costs no upload.
Image import_image(Session& session, const ImportFlags& flags, const std::string& subject) {
    const UniqueFd disk = open_input("", flags.file);
    const UniqueFd kernel = flags.kernel.empty() ? UniqueFd() : open_input("--kernel", flags.kernel);
    const UniqueFd initrd = flags.initrd.empty() ? UniqueFd() : open_input("--initrd", flags.initrd);
    ImageImport call;
    call.name = Name::parse(flags.name);
    if (const auto existing = existing_image(session, call.name)) {
        if (!flags.if_not_exists || existing->alias_of) { // an alias that leads nowhere is no image
            throw Error(ErrorCode::exists, "exists already",
                        fmt::format("remove it first: capsulctl image rm {}", flags.name));
        }
        session.note(subject + ": exists already");
        return *existing;
    }
    call.disk =
        send_file(session, subject, disk, "disk", disk_upload(flags)); // the longest: others may expire
    if (kernel) {
        call.kernel = send_file(session, subject, kernel, "kernel", {});
    }
    if (initrd) {
        call.initrd = send_file(session, subject, initrd, "initrd", {});
    }
    if (!flags.cmdline.empty()) {
        call.cmdline = flags.cmdline;
    }
    Image image = session.run(call, subject);
    session.note(subject + ": imported");
    return image;
}

void import(Session& session, const ImportFlags& flags) {
    check_flags(flags);
    const std::string subject = "image " + Name::parse(flags.name).to_string();
    try {
        const Image image = import_image(session, flags, subject);
        print_made<Image>(session.out(), session.output_options(), image, image_columns());
    } catch (const NoDaemon&) {
        session.progress().clear();
        throw;
    } catch (const Error& error) {
        session.progress().clear();
        throw named(subject, error);
    }
}

std::string removed_words(const Image& image) {
    if (!image.alias_of || image.broken) {
        return "removed";
    }
    return fmt::format("the alias is removed, its image {} stays", image.alias_of->to_string());
}

void remove(Session& session, const std::vector<std::string>& words, bool ignore_missing) {
    Tally tally(session);
    std::vector<Image> removed;
    for (const Name& name : parse_names(words)) {
        const std::string subject = "image " + name.to_string();
        try {
            removed.push_back(session.run(ImageRemove{name}, subject));
            session.note(subject + ": " + removed_words(removed.back()));
            tally.success();
        } catch (const Error& error) {
            if (ignore_missing && error.code() == ErrorCode::not_found) {
                session.note(subject + ": does not exist");
                tally.success();
            } else {
                tally.failure(subject, error);
            }
        }
    }
    print_results<Image>(session, removed, words.size() == 1, image_columns());
    session.exit_code = tally.exit_code();
}

void add_import(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "import", "Make an image from a disk, also a compressed one or an OVA",
                    "capsulctl image import debian-12 debian-12-genericcloud-amd64.qcow2 "
                    "--sha512 \"$(cut -d' ' -f1 SHA512)\"\n"
                    "capsulctl image import lab disk.raw.zst\n"
                    "capsulctl image import appliance appliance.ova\n"
                    "capsulctl image import tiny root.qcow2 --kernel vmlinuz --initrd "
                    "initrd.img --cmdline 'root=LABEL=root'");
    auto flags = std::make_shared<ImportFlags>();
    command.add_option("NAME", flags->name, "What to call it")->required()->type_name("NEW");
    command.add_option("FILE", flags->file, "The disk, - for stdin")->required()->type_name("FILE");
    command.add_option("--sha256", flags->sha256, "Refuse a disk with another digest")->type_name("HEX");
    command.add_option("--sha512", flags->sha512, "Refuse a disk with another digest")->type_name("HEX");
    command.add_option("--kernel", flags->kernel, "Boot this kernel, without a boot loader")
        ->type_name("FILE");
    command.add_option("--initrd", flags->initrd, "The initial RAM disk for --kernel")->type_name("FILE");
    command.add_option("--cmdline", flags->cmdline, "The kernel's command line, for --kernel")
        ->type_name("TEXT");
    command.add_flag("--if-not-exists", flags->if_not_exists, "Success, and no change, when it exists");
    prints_table<Image>(session, command, image_columns());
    command.callback([&session, flags] { import(session, *flags); });
}

void add_remove(CLI::App& parent, Session& session) {
    struct RemoveFlags {
        std::vector<std::string> names;
        bool ignore_missing = false;
        bool yes = false;
    };
    CLI::App& command = add_command(
        parent, "rm", "Remove images that no VM is made from, no alias points at and nobody has pinned",
        "capsulctl image rm lab tiny\n"
        "capsulctl image rm debian-12 debian-12-20261122    # the alias, then the image it pointed at\n"
        "capsulctl image rm lab --ignore-missing");
    command.alias("delete");
    auto flags = std::make_shared<RemoveFlags>();
    command
        .add_option("NAME", flags->names,
                    "The image, or several; of an alias only the name goes, its image stays")
        ->required()
        ->type_name("IMAGE");
    command.add_flag("-y,--yes", flags->yes, "Do not ask; it never does, since nobody needs them");
    command.add_flag("--ignore-missing", flags->ignore_missing, "Success when there is no such image");
    prints_table<Image>(session, command, image_columns(), true);
    command.callback([&session, flags] { remove(session, flags->names, flags->ignore_missing); });
}

void show(Session& session, const std::string& word) {
    const Name name = Name::parse(word);
    about("image " + word, [&] {
        const Image image = session.client().call(ImageShow{name});
        print_one<Image>(session.out(), session.output_options(), image, image_columns(), render_image);
    });
}

} // namespace

void add_image_commands(CLI::App& program, Session& session) {
    CLI::App& image = add_command(program, "image", "Work with images, the disks that VMs are made from",
                                  "capsulctl image import debian-12 debian-12-genericcloud-amd64.qcow2\n"
                                  "capsulctl image list\n"
                                  "capsulctl image tag debian-12-20261122 debian-12");
    add_import(image, session);
    add_image_search(image, session);
    add_image_pull(image, session);
    add_image_update(image, session);
    add_image_build(image, session);
    add_image_export(image, session);
    add_image_publish(image, session);
    CLI::App& list = add_command(image, "list", "List images, with their aliases and the VMs made from each",
                                 "capsulctl image list\n"
                                 "capsulctl image list -o wide    # what each has of its own, and shares\n"
                                 "capsulctl image list --json | jq -r '.[] | select(.vms == []) | .name'");
    prints_table<Image>(session, list, image_columns());
    list.callback([&session] {
        const std::vector<Image> images = session.client().call(ImageList{});
        print_list<Image>(session.out(), session.output_options(), images, image_columns());
    });
    CLI::App& shown =
        add_command(image, "show", "Show all that is known of an image", "capsulctl image show debian-12");
    auto name = std::make_shared<std::string>();
    shown.add_option("NAME", *name, "The image, or an alias of it")->required()->type_name("IMAGE");
    prints_table<Image>(session, shown, image_columns());
    shown.callback([&session, name] { show(session, *name); });
    add_remove(image, session);
    add_image_tag(image, session);
    add_image_untag(image, session);
    add_image_pin(image, session);
    add_image_unpin(image, session);
    add_image_df(image, session);
    add_image_prune(image, session);
}

} // namespace capsul::cli
