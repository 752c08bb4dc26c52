// Images from disks of other formats, from compressed ones and from OVAs.
#include "tests/integration/image_fixture.hpp"

#include "daemon/digest.hpp"

#include <sys/stat.h>

namespace capsul {
namespace {

class ImageFormatsTest : public ImageServiceTest {
  protected:
    /// A disk of 4 MiB, half of which is data.
    std::string content() const { return random_bytes(2 * mib) + std::string(2 * mib, '\0'); }

    fs::path file_with(const std::string& name, const std::string& bytes) const {
        std::ofstream(work_ / name, std::ios::binary) << bytes;
        return work_ / name;
    }

    /// What a guest would read.
    std::string content_of(const Image& image) {
        const fs::path raw = work_ / "back.raw";
        qemu_img({"convert", "-f", "qcow2", "-O", "raw", service_->disk_path(*image.digest).string(),
                  raw.string()});
        return slurp(raw);
    }

    /// The content in another form.
    fs::path converted(const std::string& format, const std::vector<std::string>& options = {}) {
        const fs::path raw = file_with("plain.raw", content());
        const fs::path file = work_ / ("disk." + format);
        std::vector<std::string> arguments{"convert", "-f", "raw", "-O", format};
        arguments.insert(arguments.end(), options.begin(), options.end());
        arguments.insert(arguments.end(), {raw.string(), file.string()});
        qemu_img(arguments);
        return file;
    }

    fs::path run_tool(const std::vector<std::string>& command, const fs::path& made) {
        const ProcessResult result = run_process(command, 60s);
        EXPECT_EQ(result.status, 0) << result.err;
        return made;
    }

    /// A tar of these files, in this order.
    fs::path archive_of(const std::vector<std::string>& names, const std::vector<std::string>& options = {}) {
        std::vector<std::string> command{
            "tar", "--format=ustar", "-C", work_.string(), "-cf", (work_ / "machine.ova").string()};
        command.insert(command.end(), options.begin(), options.end());
        command.insert(command.end(), names.begin(), names.end());
        return run_tool(command, work_ / "machine.ova");
    }

    /// A descriptor and a disk.
    std::vector<std::string> make_members() {
        fs::rename(converted("vmdk", {"-o", "subformat=streamOptimized"}), work_ / "disk.vmdk");
        file_with("machine.ovf", "<Envelope/>");
        return {"machine.ovf", "disk.vmdk"};
    }

    fs::path archive_with_manifest(const std::string& manifest) {
        file_with("machine.mf", manifest);
        return archive_of({"machine.ovf", "machine.mf", "disk.vmdk"});
    }

    std::string digest_line(const std::string& name) const {
        return fmt::format("SHA256({})= {}\n", name, sha256_hex(slurp(work_ / name)));
    }
};

TEST_F(ImageFormatsTest, ConvertsOtherDisks) {
    for (const auto& [format, options] : std::vector<std::pair<std::string, std::vector<std::string>>>{
             {"vmdk", {}},
             {"vmdk", {"-o", "subformat=streamOptimized"}},
             {"vdi", {}},
             {"vpc", {"-o", "force_size=on"}},
             {"vpc", {"-o", "subformat=fixed,force_size=on"}}}) {
        const Image image = import(format, slurp(converted(format, options)));
        EXPECT_EQ(image.size, Bytes(4 * mib)) << format;
        EXPECT_TRUE(content_of(image) == content()) << format;
        EXPECT_EQ(kept().size(), 2U) << "only the disk and the record";
        remove(image.name);
    }
}

TEST_F(ImageFormatsTest, RefusesTheFormatsThatItDoesNotConvert) {
    for (const char* format : {"vhdx", "qed", "parallels", "qcow"}) {
        const fs::path file = work_ / "disk.qcow2";
        fs::remove(file);
        qemu_img({"create", "-q", "-f", format, file.string(), "8M"});
        expect_file_refused(file, ErrorCode::invalid, "not a disk that capsul takes");
    }
}

TEST_F(ImageFormatsTest, RefusesVmdksWithExtents) {
    const fs::path secret = file_with("secret", std::string(4 * mib, 's'));
    for (const char* kind : {"twoGbMaxExtentFlat", "monolithicFlat", "twoGbMaxExtentSparse"}) {
        const fs::path file = work_ / "extents.vmdk";
        qemu_img(
            {"create", "-q", "-f", "vmdk", "-o", fmt::format("subformat={}", kind), file.string(), "4M"});
        expect_file_refused(file, ErrorCode::invalid, "other files");
        fs::remove(file);
    }
    expect_refused(fmt::format("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
                               "createType=\"monolithicFlat\"\nRW 8192 FLAT \"{}\" 0\n",
                               secret.string()),
                   ErrorCode::invalid, "other files");
}

TEST_F(ImageFormatsTest, RefusesDamagedDisksOfOtherFormats) {
    for (const char* format : {"vmdk", "vdi", "vpc"}) {
        const std::string whole = slurp(converted(format));
        expect_refused(whole.substr(0, 700), ErrorCode::verification, "damaged");
        expect_refused(whole.substr(0, whole.size() - mib), ErrorCode::verification, "damaged");
    }
}

TEST_F(ImageFormatsTest, RefusesOtherDisksThatAreLargerThanAllowed) {
    config_.max_size = Bytes(8 * mib);
    for (const char* format : {"vmdk", "vdi", "vpc"}) {
        const fs::path file = work_ / "large";
        fs::remove(file);
        qemu_img({"create", "-q", "-f", format, file.string(), "64M"});
        expect_file_refused(file, ErrorCode::too_large, "8.0 MiB");
    }
}

// Compressed

TEST_F(ImageFormatsTest, UnpacksCompressedDisks) {
    const std::string disk = slurp(converted("qcow2"));
    const fs::path plain = file_with("plain", disk);
    for (const auto& [command, ending] :
         std::map<std::vector<std::string>, std::string>{{{"gzip", "-kf"}, ".gz"},
                                                         {{"bzip2", "-kf"}, ".bz2"},
                                                         {{"xz", "-kf", "-0"}, ".xz"},
                                                         {{"zstd", "-kqf"}, ".zst"}}) {
        std::vector<std::string> words = command;
        words.push_back(plain.string());
        const std::string packed = slurp(run_tool(words, plain.string() + ending));
        const Image image = import("packed", packed);
        EXPECT_TRUE(slurp(service_->disk_path(*image.digest)) == disk) << ending;
        EXPECT_EQ(image.digest->hex(), sha256_hex(packed)) << "the digest is that of what was imported";
        EXPECT_EQ(kept().size(), 2U) << ending;
        remove(image.name);

        expect_refused(packed.substr(0, packed.size() / 2), ErrorCode::verification, "damaged");
        expect_refused(packed + "more bytes that nobody needs", ErrorCode::verification, "damaged");
    }
}

TEST_F(ImageFormatsTest, UnpacksWhatIsHardlyThereWithoutFillingTheDisk) {
    const fs::path zeros = file_with("zeros", std::string(64 * mib, '\0'));
    const std::string packed = slurp(run_tool({"zstd", "-kqf", zeros.string()}, zeros.string() + ".zst"));
    const Image image = import("zeros", packed);
    EXPECT_EQ(image.size, Bytes(64 * mib));
    EXPECT_LT(image.disk_usage.value_or(64 * mib), mib);
    config_.max_size = Bytes(32 * mib);
    expect_refused(packed, ErrorCode::too_large, "32.0 MiB");
}

TEST_F(ImageFormatsTest, UnpacksOnceOnly) {
    const fs::path disk = file_with("disk", content());
    const fs::path once = run_tool({"gzip", "-kf", disk.string()}, disk.string() + ".gz");
    const fs::path twice = run_tool({"gzip", "-kfS", ".again", once.string()}, once.string() + ".again");
    expect_file_refused(twice, ErrorCode::invalid, "more than once");
    const fs::path tar = archive_of({"disk"});
    expect_file_refused(run_tool({"gzip", "-kf", tar.string()}, tar.string() + ".gz"), ErrorCode::invalid,
                        "tar archive");
    expect_file_refused(
        run_tool({"gzip", "-kf", file_with("empty", "").string()}, (work_ / "empty.gz").string()),
        ErrorCode::invalid, "holds nothing");
}

TEST_F(ImageFormatsTest, RefusesHostileDisksThoughTheyAreCompressed) {
    const fs::path backed = make_disk("backed", {"-u", "-b", "nbd://127.0.0.1:1/x", "-F", "raw"});
    expect_file_refused(run_tool({"gzip", "-kf", backed.string()}, backed.string() + ".gz"),
                        ErrorCode::invalid, "backing file");
}

// OVA

TEST_F(ImageFormatsTest, TakesTheDiskOfAnOva) {
    const Image image = import("machine", slurp(archive_of(make_members())));
    EXPECT_EQ(image.size, Bytes(4 * mib));
    EXPECT_TRUE(content_of(image) == content());
    EXPECT_EQ(kept().size(), 2U);
}

TEST_F(ImageFormatsTest, ChecksTheManifestOfAnOva) {
    make_members();
    const std::string good = digest_line("machine.ovf") + digest_line("disk.vmdk");
    EXPECT_NO_THROW(import("first", slurp(archive_with_manifest(good))));
    EXPECT_NO_THROW(import("last", slurp(archive_of({"machine.ovf", "disk.vmdk", "machine.mf"}))));
    const std::string other = digest_line("machine.ovf") + "SHA256(disk.vmdk)= " + std::string(64, 'a');
    expect_file_refused(archive_with_manifest(other), ErrorCode::verification, "manifest");
    expect_file_refused(archive_with_manifest(good + "SHA1(more.vmdk)= " + std::string(40, 'a')),
                        ErrorCode::verification, "lacks");
    expect_file_refused(archive_with_manifest(digest_line("machine.ovf")), ErrorCode::verification,
                        "says nothing of its disk");
    expect_file_refused(archive_with_manifest("hello"), ErrorCode::invalid, "manifest");
}

TEST_F(ImageFormatsTest, RefusesWhatDoesNotBelongInAnOva) {
    const std::vector<std::string> good = make_members();
    const auto with = [&](const std::vector<std::string>& more,
                          const std::vector<std::string>& options = {}) {
        std::vector<std::string> names = good;
        names.insert(names.end(), more.begin(), more.end());
        return archive_of(names, options);
    };
    fs::copy_file(work_ / "disk.vmdk", work_ / "second.vmdk");
    expect_file_refused(with({"second.vmdk"}), ErrorCode::invalid, "several disks");
    expect_file_refused(archive_of({"disk.vmdk"}), ErrorCode::invalid, "no OVA");
    expect_file_refused(archive_of({"machine.ovf"}), ErrorCode::invalid, "no disk");
    fs::create_symlink("/etc/passwd", work_ / "link.vmdk");
    expect_file_refused(archive_of({"machine.ovf", "link.vmdk"}), ErrorCode::invalid, "plain files");
    fs::create_hard_link(work_ / "machine.ovf", work_ / "hard.ovf");
    expect_file_refused(with({"hard.ovf"}), ErrorCode::invalid, "plain files");
    ASSERT_EQ(::mkfifo((work_ / "pipe").c_str(), 0600), 0);
    expect_file_refused(with({"pipe"}), ErrorCode::invalid, "plain files");
    make_folders(work_ / "folder");
    expect_file_refused(with({"folder"}), ErrorCode::invalid, "plain files");
    file_with("escape", "content");
    expect_file_refused(with({"escape"}, {"-P", "--transform=s,^escape$,../escape,"}), ErrorCode::invalid,
                        "plain files");
    expect_file_refused(with({"escape"}, {"-P", "--transform=s,^escape$,/etc/escape,"}), ErrorCode::invalid,
                        "plain files");
    expect_file_refused(with({"machine.ovf"}, {"--hard-dereference"}), ErrorCode::invalid, "same name");
    fs::resize_file(file_with("holes", "x"), 256 * mib);
    expect_file_refused(with({"holes"}, {"--format=gnu", "--sparse"}), ErrorCode::invalid, "holes");
    const std::string whole = slurp(archive_of(good));
    expect_refused(whole.substr(0, whole.size() / 2), ErrorCode::verification, "damaged");
}

TEST_F(ImageFormatsTest, RefusesAnOvaWhoseDiskIsHostile) {
    file_with("machine.ovf", "<Envelope/>");
    file_with("disk.vmdk", "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
                           "createType=\"monolithicFlat\"\nRW 8192 FLAT \"/etc/passwd\" 0\n");
    expect_file_refused(archive_of({"machine.ovf", "disk.vmdk"}), ErrorCode::invalid, "other files");
}

} // namespace
} // namespace capsul
