# Fleet: a script for Windows.
# Made from plugins/plugin_utils/observe_windows.ps1 of scepfix, which see; docs/collector.md says how to deploy it.
$mode = 'line'

# Looks at one PC and prints one line of JSON, which scepfix.parsers.windows_observation reads. It changes nothing.
# It has not met a real Windows yet: docs/try-on-windows.ps1 runs the same on yours.
#
# After a line $mode = 'line' it prints one line for an MDM to collect instead (docs/collector.md; its reader is
# scepfix.parsers.collected_line).
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'

# What one question could not answer becomes a problem; the others are still asked.
$problems = New-Object System.Collections.ArrayList
function Get-Answer {
    param([string] $Name, [scriptblock] $Question, $Otherwise = $null)
    # The comma keeps a list a list, of one or of none too.
    try { $said = & $Question; return , $said }
    catch {
        $null = $problems.Add("${Name}: $($_.Exception.Message)")
        return $Otherwise
    }
}

function Get-StoreCertificates {
    param([string] $Path)
    foreach ($one in Get-ChildItem -Path $Path) {
        [ordered]@{ raw_data = [Convert]::ToBase64String($one.RawData); has_private_key = $one.HasPrivateKey }
    }
}

# A person's own certificates: Cert:\CurrentUser\My is the store of the account that asks, not the person's, and the
# stores of others come back empty, even if they are not. So: the files in each profile's folder, and of those who are
# signed in the registry. Each is a list of properties with the certificate in it. A person is told by SID, not by name.
function Get-PersonalCertificates {
    $list = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList'
    foreach ($key in Get-ChildItem -LiteralPath $list) {
        $sid = $key.PSChildName
        if ($sid -notmatch '^S-1-(5-21|12-1)-[0-9-]+$') { continue }
        $blobs = @(
            $home_folder = "$($key.GetValue('ProfileImagePath'))"
            $folder = "$home_folder\AppData\Roaming\Microsoft\SystemCertificates\My\Certificates"
            if ($home_folder -and (Test-Path -LiteralPath $folder)) {
                $files = Get-ChildItem -LiteralPath $folder -File -Force | Where-Object { $_.Length -lt 65536 } |
                    Select-Object -First 200
                foreach ($file in $files) { [Convert]::ToBase64String([IO.File]::ReadAllBytes($file.FullName)) }
            }
            $hive = "Registry::HKEY_USERS\$sid\Software\Microsoft\SystemCertificates\My\Certificates"
            if (Test-Path -LiteralPath $hive) {
                foreach ($entry in Get-ChildItem -LiteralPath $hive | Select-Object -First 200) {
                    $blob = $entry.GetValue('Blob')
                    if ($blob -is [byte[]] -and $blob.Length -lt 65536) { [Convert]::ToBase64String($blob) }
                }
            }
        )
        if ($blobs.Count -gt 0) { [ordered]@{ sid = $sid; blobs = $blobs } }
    }
}

function Get-ScepNodes {
    $nodes = Get-CimInstance -Namespace 'root\cimv2\mdm\dmmap' -ClassName 'MDM_ClientCertificateInstall_SCEP01_01'
    foreach ($node in $nodes) {
        [ordered]@{
            instance_id = "$($node.InstanceID)"; thumbprint = "$($node.CertThumbprint)"
            status = $node.Status; error_code = $node.ErrorCode
        }
    }
}

function Get-EndOfLog {
    $folder = "$env:SystemRoot\System32\config\systemprofile\AppData\Local\Okta Device Access\Logs"
    if (-not (Test-Path -LiteralPath $folder)) { return '' }
    $newest = Get-ChildItem -LiteralPath $folder -File | Sort-Object LastWriteTimeUtc | Select-Object -Last 1
    if ($null -eq $newest) { return '' }
    $stream = New-Object IO.FileStream($newest.FullName, 'Open', 'Read', 'ReadWrite,Delete')
    try {
        $length = [int][Math]::Min($stream.Length, 65536)
        $null = $stream.Seek(-$length, 'End')
        $bytes = New-Object byte[] $length
        $read = $stream.Read($bytes, 0, $length)
        return [Convert]::ToBase64String($bytes, 0, $read)
    }
    finally { $stream.Dispose() }
}

function Get-OktaVerifyVersion {
    $keys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\*',
        'HKLM:\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\*'
    $found = Get-ItemProperty -Path $keys -ErrorAction SilentlyContinue |
        Where-Object { $_.PSObject.Properties['DisplayName'] -and $_.DisplayName -eq 'Okta Verify' } |
        Select-Object -First 1
    if ($null -eq $found) { return '' }
    return "$($found.DisplayVersion)"
}

function Get-Enrolled {
    $states = Get-ItemProperty -Path 'HKLM:\SOFTWARE\Microsoft\Enrollments\*' -ErrorAction SilentlyContinue |
        Where-Object { $_.PSObject.Properties['ProviderID'] -and $_.PSObject.Properties['EnrollmentState'] }
    if (@($states | Where-Object { $_.EnrollmentState -eq 1 }).Count -gt 0) { return $true }
    return $null
}

function Test-Administrator {
    $principal = New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
    return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

function Get-Observation {
    $system = Get-Answer 'system' { Get-CimInstance -ClassName Win32_OperatingSystem }
    return [ordered]@{
        schema = 'scepfix/windows/1'
        time = Get-Answer 'time' { [DateTimeOffset]::UtcNow.ToUnixTimeSeconds() }
        administrator = Test-Administrator
        computer_name = "$env:COMPUTERNAME"
        serial_number = Get-Answer 'serial number' { "$((Get-CimInstance -ClassName Win32_BIOS).SerialNumber)" } ''
        hardware_uuid = Get-Answer 'hardware UUID' {
            "$((Get-CimInstance -ClassName Win32_ComputerSystemProduct).UUID)"
        } ''
        os_version = if ($null -eq $system) { '' } else { "$($system.Version)" }
        os_build = if ($null -eq $system) { '' } else { "$($system.BuildNumber)" }
        local_machine = Get-Answer 'LocalMachine\My' { , @(Get-StoreCertificates 'Cert:\LocalMachine\My') }
        # Every Windows has roots: where none shows, the stores could not be read at all.
        roots = Get-Answer 'LocalMachine\Root' { @(Get-ChildItem -Path 'Cert:\LocalMachine\Root').Count } 0
        current_user = Get-Answer 'CurrentUser\My' { , @(Get-StoreCertificates 'Cert:\CurrentUser\My') }
        personal = Get-Answer 'personal certificates' { , @(Get-PersonalCertificates) }
        scep = Get-Answer 'SCEP' { , @(Get-ScepNodes) }
        enrolled = Get-Answer 'enrolment' { Get-Enrolled }
        # The service's name is not documented; its shown name begins like this.
        service_present = Get-Answer 'service' {
            if (@(Get-Service -DisplayName 'Okta Device Access*').Count -gt 0) { $true } else { $null }
        }
        okta_verify_version = Get-Answer 'Okta Verify' { Get-OktaVerifyVersion } ''
        log = Get-Answer 'log' { Get-EndOfLog } ''
        problems = @($problems)
        whole = $true
    }
}

# --- one line for an MDM to collect: no name, no secret; fewer than 2,000 characters ----------------------------------

function ConvertTo-Hex {
    param([byte[]] $Bytes)
    return -join @($Bytes | ForEach-Object { $_.ToString('x2') })
}

# A byte that is no letter, digit, dot, underscore or hyphen is %XX.
function ConvertTo-Plain {
    param([string] $Text)
    $characters = foreach ($byte in [Text.Encoding]::UTF8.GetBytes($Text)) {
        if ([string][char]$byte -cmatch '^[A-Za-z0-9._-]$') { [string][char]$byte } else { '%' + $byte.ToString('X2') }
    }
    return -join @($characters)
}

function ConvertTo-Told {
    param($Value)
    if ($null -eq $Value) { return '?' }
    if ($Value) { return 'y' }
    return 'n'
}

function ConvertTo-Word {
    param([string] $Text)
    if ($Text -cmatch '^[A-Za-z0-9.]{1,30}$') { return $Text }
    return '-'
}

function ConvertTo-Moment {
    param([DateTime] $Moment)
    return $Moment.ToUniversalTime().ToString('yyyyMMddHHmmss', [Globalization.CultureInfo]::InvariantCulture) + 'Z'
}

# The element of DER at a place: its tag, where its content begins, and where it ends.
function Get-Element {
    param([byte[]] $Bytes, [int] $At)
    $first = $At + 2
    $size = [int]$Bytes[$At + 1]
    if ($size -gt 127) {
        $more = $size - 128
        if ($more -lt 1 -or $more -gt 3) { throw 'no length that can be read' }
        $size = 0
        for ($index = 0; $index -lt $more; $index++) { $size = $size * 256 + $Bytes[$first + $index] }
        $first += $more
    }
    if ($first + $size -gt $Bytes.Length) { throw 'it is cut' }
    return [pscustomobject]@{ Tag = $Bytes[$At]; First = $first; Last = $first + $size }
}

function Get-Sha256 {
    param([byte[]] $Bytes)
    $hash = [Security.Cryptography.SHA256]::Create()
    try { return ConvertTo-Hex ($hash.ComputeHash($Bytes)) }
    finally { $hash.Dispose() }
}

# .NET Framework gives the key without its algorithm, so it is cut out of the certificate.
function Get-PublicKeyInfo {
    param([byte[]] $Bytes)
    $whole = Get-Element $Bytes 0
    $signed = Get-Element $Bytes $whole.First
    $at = $signed.First
    $element = Get-Element $Bytes $at
    if ($element.Tag -eq 0xA0) { $at = $element.Last }
    # Serial number, algorithm, issuer, validity, subject.
    for ($index = 0; $index -lt 5; $index++) { $at = (Get-Element $Bytes $at).Last }
    $key = Get-Element $Bytes $at
    return $Bytes[$at..($key.Last - 1)]
}

function Get-IssuerKey {
    param([byte[]] $Bytes)
    $list = Get-Element $Bytes 0
    if ($list.First -ge $list.Last) { return '-' }
    $key = Get-Element $Bytes $list.First
    if ($key.Tag -ne 0x80 -or $key.First -ge $key.Last) { return '-' }
    return ConvertTo-Hex ($Bytes[$key.First..($key.Last - 1)])
}

function Get-Purposes {
    param([string[]] $Usages)
    $letters = foreach ($usage in $Usages) {
        switch ($usage) {
            '1.3.6.1.5.5.7.3.2' { 'c' }
            '2.5.29.37.0' { 'a' }
            '1.3.6.1.4.1.51150.13.1.1' { 'm' }
            default { 'o' }
        }
    }
    $said = -join @($letters | Select-Object -Unique)
    if ($said) { return $said }
    return '0'
}

# The UUID in a subject, or the PC's own serial number.
function Get-DeviceNamed {
    param([string] $Subject, [string] $Serial)
    $uuid = '(?<![\w-])[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![\w-])'
    if ($Subject -match $uuid) { return $Matches[0].ToLowerInvariant() }
    $own = '(?<![\w-])' + [regex]::Escape($Serial) + '(?![\w-])'
    if ($Serial.Length -ge 3 -and $Subject -match $own) { return ConvertTo-Plain $Serial }
    return '-'
}

# What is told of one certificate; nothing of one that is no leaf with the marker.
function Get-ToldCertificate {
    param($Certificate, [string] $Serial)
    $marks = @(); $usage = '-'; $purposes = '-'; $issuer_key = '-'; $usages = @()
    foreach ($extension in $Certificate.Extensions) {
        switch ($extension.Oid.Value) {
            '1.3.6.1.4.1.51150.13.1' { $marks += ConvertTo-Hex $extension.RawData }
            '2.5.29.15' {
                $bits = [int]$extension.KeyUsages
                $usage = '{0:x2}{1:x2}' -f ($bits -band 0xFF), ($bits -shr 8)
            }
            '2.5.29.19' { if ($extension.CertificateAuthority) { return } }
            '2.5.29.35' { $issuer_key = Get-IssuerKey $extension.RawData }
            '2.5.29.37' {
                $usages = @($extension.EnhancedKeyUsages | ForEach-Object { $_.Value })
                $purposes = Get-Purposes $usages
            }
        }
    }
    $marked = $marks.Count -gt 0 -and @($marks | Where-Object { $_ -ne '020101' }).Count -eq 0
    if (-not $marked -and $usages -notcontains '1.3.6.1.4.1.51150.13.1.1') { return }
    $number = $Certificate.SerialNumber.ToLowerInvariant()
    if ($number -match '^[89a-f]' -and $number.Length % 2 -eq 0) { throw 'a serial number that is negative' }
    $number = $number.TrimStart('0')
    if (-not $number) { $number = '0' }
    $raw = $Certificate.RawData
    $subject = ConvertTo-Hex $Certificate.SubjectName.RawData
    $issuer = ConvertTo-Hex $Certificate.IssuerName.RawData
    $fields = @(
        ConvertTo-Moment $Certificate.NotBefore
        ConvertTo-Moment $Certificate.NotAfter
        $number
        Get-Sha256 $raw
        Get-Sha256 (Get-PublicKeyInfo $raw)
        $issuer_key
        ConvertTo-Told $Certificate.HasPrivateKey
        $usage
        $purposes
        ConvertTo-Told ($subject -eq $issuer)
        Get-DeviceNamed $Certificate.Subject $Serial
    )
    return $fields -join ','
}

# w1, w2, w3 with the moment of the last one of each, in the order in which they stand in the log's end.
function Get-ToldLog {
    $known = [ordered]@{
        w1 = 'Device is not registered, admin recovery unavailable'
        w2 = 'Could not find a valid certificate for device authentication'
        w3 = 'Device not eligible for registration'
    }
    $base64 = Get-EndOfLog
    if (-not $base64) { return 'none' }
    $found = [ordered]@{}
    foreach ($text in [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($base64)) -split "`n") {
        foreach ($name in $known.Keys) {
            if (-not $text.Contains($known[$name])) { continue }
            $stamp = '-'
            if ($text -match '^\W*(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)[.,](\d{3}) ([+-])(\d\d):?(\d\d) ') {
                $stamp = -join @(1..10 | ForEach-Object { $Matches[$_] })
            }
            $found.Remove($name)
            $found[$name] = $stamp
        }
    }
    if ($found.Count -eq 0) { return '-' }
    $entries = @($found.Keys | ForEach-Object { "${_}:$($found[$_])" })
    return $entries -join ','
}

function Get-Line {
    $limit = 1999
    $system = Get-Answer 'system' { Get-CimInstance -ClassName Win32_OperatingSystem }
    $administrator = Test-Administrator
    $serial = Get-Answer 'serial number' { "$((Get-CimInstance -ClassName Win32_BIOS).SerialNumber)".Trim() } ''
    $uuid = Get-Answer 'hardware UUID' { "$((Get-CimInstance -ClassName Win32_ComputerSystemProduct).UUID)" } ''
    $roots = Get-Answer 'LocalMachine\Root' { @(Get-ChildItem -Path 'Cert:\LocalMachine\Root').Count } 0
    $service = Get-Answer 'service' {
        if (@(Get-Service -DisplayName 'Okta Device Access*').Count -gt 0) { $true } else { $null }
    }
    $certificates = Get-Answer 'LocalMachine\My' {
        , @(Get-ChildItem -Path 'Cert:\LocalMachine\My' | ForEach-Object { Get-ToldCertificate $_ $serial } |
                Sort-Object -Descending)
    }
    $complete = $administrator -and $roots -gt 0 -and $null -ne $certificates
    $nodes = Get-Answer 'SCEP' { , @(Get-ScepNodes) }
    $tail = @($nodes | Where-Object { $null -ne $_ } |
            ForEach-Object { "p=s,$(ConvertTo-Plain $_.instance_id),-,com.apple.security.scep" })
    $profiles = if ($null -eq $nodes -or ($tail -join ' ').Length -gt 700) { '?' } else { "$($tail.Count)" }
    if ($profiles -eq '?') { $tail = @() }
    $words = @(
        'scepfix1'
        'os=windows'
        "at=$(ConvertTo-Moment ([DateTime]::UtcNow))"
        "sn=$(if ($serial.Length -ge 3) { ConvertTo-Plain $serial } else { '-' })"
        "uuid=$(if ($uuid -match '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$') { $uuid } else { '-' })"
        "version=$(if ($null -eq $system) { '-' } else { ConvertTo-Word "$($system.Version)" })"
        "build=$(if ($null -eq $system) { '-' } else { ConvertTo-Word "$($system.BuildNumber)" })"
        "root=$(if ($administrator) { 'yes' } else { 'no' })"
        "enrolled=$(ConvertTo-Told (Get-Answer 'enrolment' { Get-Enrolled }))"
        "service=$(ConvertTo-Told $service)"
        "okta=$(ConvertTo-Word (Get-Answer 'Okta Verify' { Get-OktaVerifyVersion } ''))"
        "log=$(Get-Answer 'log' { Get-ToldLog } '?')"
    )
    $shown = @()
    $length = ($words -join ' ').Length + ($tail -join ' ').Length + 76
    $more = 0
    foreach ($certificate in @($certificates | Where-Object { $null -ne $_ })) {
        $size = $certificate.Length + 3
        if ($more -gt 0 -or ($length + $size) -gt $limit) { $more++ }
        else {
            $shown += "c=$certificate"
            $length += $size
        }
    }
    $words += "complete=$(ConvertTo-Told ($complete -and $more -eq 0))"
    $words += "profiles=$profiles", "certificates=$($shown.Count + $more)", "more=$more"
    $line = ($words + $shown + $tail) -join ' '
    return "$line sum=$((Get-Sha256 ([Text.Encoding]::ASCII.GetBytes($line))).Substring(0, 16))"
}

if ($mode -eq 'line') { Get-Line }
else {
    [Console]::OutputEncoding = New-Object Text.UTF8Encoding($false)
    Get-Observation | ConvertTo-Json -Depth 6 -Compress
}
